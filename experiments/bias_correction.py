"""Bias correction: does Adam without it make fine-tuning fail?

Hypothesis : without bias correction more runs fail, the more the higher the learning rate; with it few or none.
Paper      : Mosbach et al. 2021 (ICLR), section 5.1, Figs 5 and 9: RTE, 3 epochs, 25 seeds a setting.
Command    : python -m experiments.bias_correction --profile mini --seeds 5
Cost       : mini, 5 seeds: 30 runs, about 8 minutes on 2 cores. paper, 25 seeds: 150 runs of 468 steps on one GPU.
Writes     : results/<profile>/bias_correction.csv, one row per run.
"""

from experiments.finetuning.command import grid, parse, parser, row, run_command, train_missing, write_csv


def main() -> None:
    options = parse(parser(__doc__))
    planned = grid(options)
    records = train_missing(planned, options, "bias_correction")
    if not options.plan:
        write_csv(options.results / "bias_correction.csv", [row(record) for record in records])


if __name__ == "__main__":
    run_command(main)

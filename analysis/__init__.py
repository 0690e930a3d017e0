import os

# Whatever a notebook has set; matplotlib reads it when it is imported, so before that.
os.environ["MPLBACKEND"] = "Agg"

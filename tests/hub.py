"""A model and data hub on this machine, for tests: the requests that huggingface_hub, transformers
and datasets make, answered over HTTP as huggingface.co answers them.

What is answered, for {kind} models or datasets:
    GET  /api/{kind}/ID, /api/{kind}/ID/revision/REV    commit and files
    GET  /api/{kind}/ID/tree/REV[/FOLDER]               files with sizes and hashes
    POST /api/{kind}/ID/paths-info/REV                  the same of named paths
    HEAD, GET /[datasets/]ID/resolve/REV/FILE           to where the file is: small ones under
                                                        /api/resolve-cache, large ones under /cdn
                                                        on another host name
Small files carry git's hash as ETag, large ones (LARGE) the SHA-256 as X-Linked-Etag. Ranges are
served. Errors are told as the hub tells them, by X-Error-Code. Fields and headers as the clients'
own code reads them (huggingface_hub 2.4: hf_api.py, file_download.py, utils/_http.py).
"""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".parquet")  # kept apart (git-lfs), as on the hub
Files = dict[str, bytes]

ERRORS = {
    "RepoNotFound": (401, "Invalid username or password."),  # of whom is not logged in
    "RevisionNotFound": (404, "Invalid rev id: {}"),
    "EntryNotFound": (404, "Entry not found"),
    "GatedRepo": (401, "Access to this resource is restricted. You must be authenticated."),
    "GatedRepo, logged in": (403, "Access to this resource is restricted. Ask for access."),
    "BadToken": (401, "Invalid credentials in Authorization header"),
    "RateLimit": (429, "We had to rate limit your IP."),
    "RateLimit, later": (429, "We had to rate limit your IP."),  # when it is asked for files
    "Broken": (503, "Service Unavailable"),
    "Broken, later": (503, "Service Unavailable"),
}


@dataclass
class Repository:
    """Commits, and the branches that point to them."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    # of ERRORS, for all requests (gated, later: for files only); "Silent": there is no answer; or
    # what _Handler.file knows
    trouble: str = ""
    downloads: list[tuple[str, str]] = field(default_factory=list)  # (file, range asked for)

    def push(self, files: Files, branch: str = "main") -> str:
        """Commit these files, and nothing else, to a branch; the commit."""
        digest = hashlib.sha1(branch.encode())
        for name in sorted(files):
            digest.update(name.encode() + files[name])
        commit = digest.hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def commit(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


class Hub:
    """Repositories by (kind, name), and the server that serves them."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.requests: list[str] = []
        self.connections: set[socket.socket] = set()
        self.server: ThreadingHTTPServer | None = None
        self.gone = threading.Event()
        self.port = 0

    def model(self, name: str) -> Repository:
        return self.repositories.setdefault(("models", name), Repository())

    def data(self, name: str) -> Repository:
        return self.repositories.setdefault(("datasets", name), Repository())

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the port of before if there was one."""
        self.gone.clear()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Listen no more: who asks finds the connection refused."""
        assert self.server
        self.gone.set()
        self.server.shutdown()
        for connection in list(self.connections):  # clients keep theirs open
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()
        self.server.server_close()

    @contextmanager
    def running(self) -> Iterator["Hub"]:
        self.start()
        try:
            yield self
        finally:
            self.stop()


def etag_of(name: str, content: bytes) -> str:
    """What the hub calls a file by: its SHA-256 if it is large, else its hash in git."""
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def entry(name: str, content: bytes) -> dict:
    """A file in a listing."""
    listed = {"type": "file", "path": name, "size": len(content), "oid": etag_of(name, content)}
    if name.endswith(LARGE):
        listed["xetHash"] = etag_of(name, content)
        listed["lfs"] = {"oid": etag_of(name, content), "size": len(content), "pointerSize": 134}
    return listed


def listing(files: Files, folder: str, recursive: bool) -> list[dict]:
    """The files below a folder, and its folders."""
    prefix = f"{folder}/" if folder else ""
    entries, folders = [], set()
    for name in sorted(files):
        if not name.startswith(prefix):
            continue
        *parents, _ = name.removeprefix(prefix).split("/")
        folders |= {prefix + "/".join(parents[: i + 1]) for i in range(len(parents))}
        if recursive or not parents:
            entries.append(entry(name, files[name]))
    seen = folders if recursive else {f for f in folders if "/" not in f.removeprefix(prefix)}
    return [{"type": "directory", "path": f, "oid": "0" * 40, "size": 0} for f in sorted(seen)] + (
        entries
    )


class _Refused(Exception):
    """One of ERRORS, with what belongs into its message."""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    timeout = 20
    API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/(.+))?")
    RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
    STORED = re.compile(r"/(?:api/resolve-cache|cdn)/(models|datasets)/([^/]+/[^/]+)/(\w{40})/(.+)")

    def setup(self) -> None:
        super().setup()
        self.hub.connections.add(self.connection)

    def finish(self) -> None:
        self.hub.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def do_GET(self) -> None:  # noqa: N802, by http.server
        self.answer()

    do_HEAD = do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length).decode()
        path = urlsplit(self.path).path
        try:
            if match := self.STORED.fullmatch(path):
                self.file(*match.groups())
            elif match := self.RESOLVE.fullmatch(path):
                self.resolve(*match.groups())
            elif match := self.API.fullmatch(path):
                self.api(*match.groups())
            else:
                self.say(404, b'{"error": "no such page"}')
        except _Refused as refused:
            self.refuse(*refused.args)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, kind: str, what: str = "") -> None:
        status, message = ERRORS[kind]
        message = message.format(what)
        headers = {"X_Error_Message": message, "Content_Type": "application/json"}
        if kind in ("RevisionNotFound", "EntryNotFound") or kind.startswith("GatedRepo"):
            headers["X_Error_Code"] = kind.partition(",")[0]
        if kind == "EntryNotFound":
            headers["X_Repo_Commit"] = what
        if kind.startswith("RateLimit"):
            headers |= {"RateLimit": '"resolvers";r=0;t=240', "Retry_After": "240"}
        self.say(status, json.dumps({"error": message}).encode(), **headers)

    def repository(self, kind: str, name: str) -> Repository:
        repository = self.hub.repositories.get((kind, name))
        if repository is None:
            raise _Refused("RepoNotFound")
        if repository.trouble == "Silent":
            self.hub.gone.wait(20)
        if repository.trouble in ("RateLimit", "Broken", "BadToken"):
            raise _Refused(repository.trouble)
        return repository

    def files(self, kind: str, name: str, revision: str) -> tuple[str, Files]:
        repository = self.repository(kind, name)
        commit = repository.commit(revision)
        if commit is None:
            raise _Refused("RevisionNotFound", revision)
        return commit, repository.commits[commit]

    def api(self, kind: str, name: str, what: str | None, rest: str | None) -> None:
        revision, _, folder = (rest or "main").partition("/")
        commit, files = self.files(kind, name, unquote(revision))
        if what in (None, "revision"):
            siblings = [{"rfilename": file} for file in sorted(files)]
            info = {"id": name, "sha": commit, "private": False, "gated": False, "tags": []}
            answer: object = {**info, "siblings": siblings, "downloads": 0, "likes": 0}
        elif (trouble := self.repository(kind, name).trouble).endswith("later"):
            raise _Refused(trouble)
        elif what == "tree":
            recursive = parse_qs(urlsplit(self.path).query).get("recursive") == ["true"]
            answer = listing(files, unquote(folder), recursive)
            if not answer:
                raise _Refused("EntryNotFound", commit)
        else:
            wanted = parse_qs(self.body).get("paths") or json.loads(self.body or "{}")["paths"]
            everything = {item["path"]: item for item in listing(files, "", recursive=True)}
            answer = [everything[path] for path in wanted if path in everything]
        self.say(200, json.dumps(answer).encode(), Content_Type="application/json")

    def resolve(self, data: str | None, name: str, revision: str, file: str) -> None:
        """To where a file of a revision is."""
        kind, file = "datasets" if data else "models", unquote(file)
        commit, files = self.files(kind, name, unquote(revision))
        if (trouble := self.repository(kind, name).trouble) in ERRORS:
            raise _Refused(trouble)
        if file not in files:
            raise _Refused("EntryNotFound", commit)
        where = f"{kind}/{name}/{commit}/{file}"
        headers = {"X_Repo_Commit": commit, "X_Linked_Size": str(len(files[file]))}
        if file.endswith(LARGE):
            headers["X_Linked_Etag"] = f'"{etag_of(file, files[file])}"'
            headers["Location"] = f"http://localhost:{self.hub.port}/cdn/{where}"
            headers["X_Xet_Hash"] = etag_of(file, files[file])  # it can be had by Xet as well
            headers["Link"] = f'<{self.hub.endpoint}/api/no-xet-here>; rel="xet-auth"'
            self.say(302, **headers)
        else:
            headers["ETag"] = f'"{etag_of(file, files[file])}"'
            self.say(307, **headers, Location=f"/api/resolve-cache/{where}")

    def file(self, kind: str, name: str, commit: str, file: str) -> None:
        """A file's bytes, or those of the range asked for. Of a repository whose trouble is "cut"
        a large file's connection breaks off in the middle of what is asked for, of "cut once" the
        first one's only; of "stump" it breaks off before the first byte."""
        file, repository = unquote(file), self.hub.repositories[kind, name]
        content, status = repository.commits[commit][file], 200
        headers = {"ETag": f'"{etag_of(file, content)}"', "X_Repo_Commit": commit}
        headers["Accept_Ranges"] = "bytes"
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
            headers["Content_Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        if self.command == "GET":
            repository.downloads.append((file, self.headers.get("Range") or ""))
        cut = repository.trouble in ("cut", "cut once", "stump") and file.endswith(LARGE)
        if not cut or self.command == "HEAD":
            self.say(status, content, **headers)
            return
        sent = content[: 0 if repository.trouble == "stump" else len(content) // 2]
        if repository.trouble == "cut once":
            repository.trouble = ""
        self.send_response(status)
        for header, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = True

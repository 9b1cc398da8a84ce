"""A server on this machine that speaks the few endpoints of the Hub that publishing and downloading use."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

SHA = "0123456789abcdef0123456789abcdef01234567"


class LocalHub:
    """Repositories in memory.

    Attributes:
        repositories: "models/me/name" or "datasets/me/name" -> path -> bytes.
        refuse: Status that every request but a download gets, or None.
        drop_commits: How many commits end with a closed connection.
        requests: "METHOD /path" of every request.
        tokens: Tokens that came.
        created: Bodies of requests to make a repository.
        commits: Headers of the commits that went through, with their branch.
        uploaded: Content of large files by digest; stays when a commit fails.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.refuse: int | None = None
        self.drop_commits = 0
        self.requests: list[str] = []
        self.tokens: set[str] = set()
        self.created: list[dict[str, Any]] = []
        self.commits: list[dict[str, Any]] = []
        self.uploaded: dict[str, bytes] = {}
        self.puts = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"hub": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self, repo_id: str, kind: str = "models") -> dict[str, bytes]:
        return self.repositories[f"{kind}/{repo_id}"]


class Handler(BaseHTTPRequestHandler):
    hub: LocalHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self.read_chunks()
        self.hub.requests.append(f"{self.command} {path}")
        if token := self.headers.get("Authorization"):
            self.hub.tokens.add(token.removeprefix("Bearer "))
        if self.hub.refuse and not re.search("/resolve/", path):
            return self.send(self.hub.refuse, {"error": "no"})
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, path):
                getattr(self, method)(**found.groupdict())
                return None
        return self.send(404, {"error": path}, {"X-Error-Code": "RepoNotFound"})

    def read_chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def send(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # The endpoints ----------------------------------------------------------------------------------------------

    def create(self) -> None:
        wanted = json.loads(self.body)
        self.hub.created.append(wanted)
        kind = f"{wanted.get('type') or 'model'}s"
        repo_id = f"{wanted['organization']}/{wanted['name']}"
        status = 409 if f"{kind}/{repo_id}" in self.hub.repositories else 200
        self.hub.repositories.setdefault(f"{kind}/{repo_id}", {})
        prefix = "" if kind == "models" else f"{kind}/"
        self.send(status, {"url": f"{self.hub.endpoint}/{prefix}{repo_id}"})

    def validate_yaml(self) -> None:
        content = json.loads(self.body)["content"]
        try:
            metadata = yaml.safe_load(re.split("^---$", content, flags=re.MULTILINE)[1])
            errors = [] if isinstance(metadata, dict) else [{"message": "no metadata"}]
        except (yaml.YAMLError, IndexError) as error:
            errors = [{"message": str(error)}]
        self.send(400 if errors else 200, {"errors": errors, "warnings": []})

    def preupload(self, kind: str, repo_id: str) -> None:
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".parquet", ".png")) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.send(200, {"files": files})

    def lfs_batch(self, repo_id: str) -> None:
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            action = {"upload": {"href": f"{self.hub.endpoint}/lfs/{wanted['oid']}"}}
            known = {} if wanted["oid"] in self.hub.uploaded else {"actions": action}
            objects.append({"oid": wanted["oid"], "size": wanted["size"], **known})
        self.send(200, {"transfer": "basic", "objects": objects})

    def lfs_upload(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.uploaded[oid] = self.body
        self.hub.puts += 1
        self.send(200, {})

    def commit(self, kind: str, repo_id: str, revision: str) -> None:
        if self.hub.drop_commits > 0:
            self.hub.drop_commits -= 1
            self.close_connection = True
            self.connection.close()
            return None
        repository = self.hub.repositories[f"{kind}/{repo_id}"]
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.hub.commits.append({**value, "revision": revision, "query": urlsplit(self.path).query})
            elif line["key"] == "file":
                repository[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository[value["path"]] = self.hub.uploaded[value["oid"]]
        address = f"{self.hub.endpoint}/{repo_id}"
        pull = f"{address}/discussions/1" if "create_pr" in self.path else None
        return self.send(200, {"commitUrl": f"{address}/commit/{SHA}", "commitOid": SHA, "pullRequestUrl": pull})

    def branch(self, kind: str, repo_id: str, revision: str) -> None:
        self.send(200, {})

    def info(self, kind: str, repo_id: str) -> None:
        files = self.hub.repositories.get(f"{kind}/{repo_id}")
        if files is None:
            return self.send(404, {"error": "missing"}, {"X-Error-Code": "RepoNotFound"})
        siblings = [{"rfilename": path} for path in files]
        return self.send(200, {"id": repo_id, "sha": SHA, "siblings": siblings, "tags": [], "private": False})

    def tree(self, kind: str, repo_id: str) -> None:
        files = self.hub.repositories.get(f"{kind}/{repo_id}", {})
        self.send(200, [{"type": "file", "path": p, "size": len(c), "oid": etag(c)} for p, c in files.items()])

    def resolve(self, repo_id: str, path: str, kind: str | None = None) -> None:
        files = self.hub.repositories.get(f"{kind or 'models'}/{repo_id}")
        if files is None:
            return self.send(404, {"error": "missing"}, {"X-Error-Code": "RepoNotFound"})
        if path not in files:
            return self.send(404, {"error": "missing"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA})
        return self.send(200, files[path], {"ETag": f'"{etag(files[path])}"', "X-Repo-Commit": SHA})


def etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


REPO = "(?P<kind>models|datasets)/(?P<repo_id>[^/]+/[^/]+)"
ROUTES = [
    ("/api/repos/create", "create"),
    ("/api/validate-yaml", "validate_yaml"),
    (f"/api/{REPO}/preupload/[^/]+", "preupload"),
    (f"/api/{REPO}/commit/(?P<revision>.+)", "commit"),
    (f"/api/{REPO}/branch/(?P<revision>.+)", "branch"),
    (f"/api/{REPO}/tree/.+", "tree"),
    (f"/api/{REPO}(?:/revision/.+)?", "info"),
    ("/(?:datasets/)?(?P<repo_id>[^/]+/[^/]+).git/info/lfs/objects/batch", "lfs_batch"),
    ("/lfs/(?P<oid>[0-9a-f]+)", "lfs_upload"),
    ("/(?P<kind>datasets)/(?P<repo_id>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)", "resolve"),
    ("/(?P<repo_id>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)", "resolve"),
]

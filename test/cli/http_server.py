"""A small HTTP server for tests: python3 http_server.py FOLDER PORT-FILE. Serves the files of FOLDER, and besides

  /slow/FILE       after a second
  /hang            never answers
  /moved/FILE      redirects to /FILE
  /flaky/FILE      503 the first two times
  /etag/FILE       the file with an ETag; 304 for who has it
  /dated/FILE      the same with Last-Modified
  /cut/FILE        half of the file, then the connection is closed
Each request is a line in FOLDER/requests. What is PUT becomes a file there: /refused/FILE is answered with 403, and /flaky/FILE as above.
"""
import hashlib
import http.server
import os
import sys
import time

tries = {}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open("requests", "a") as log:
            log.write(self.path + "\n")
        kind, _, rest = self.path[1:].partition("/")
        if kind == "hang":
            time.sleep(60)
            return
        if kind == "moved":
            self.send_response(302)
            self.send_header("Location", "/" + rest)
            self.end_headers()
            return
        if kind == "slow":
            time.sleep(1)
        if kind == "flaky":
            tries[rest] = tries.get(rest, 0) + 1
            if tries[rest] <= 2:
                self.send_error(503)
                return
        name = rest if kind in ("slow", "flaky", "etag", "dated", "cut") else self.path[1:]
        if not os.path.isfile(name):
            self.send_error(404)
            return
        with open(name, "rb") as source:
            content = source.read()
        validators = {
            "etag": ("ETag", '"%s"' % hashlib.sha256(content).hexdigest(), "If-None-Match"),
            "dated": ("Last-Modified", self.date_time_string(os.stat(name).st_mtime), "If-Modified-Since"),
        }
        header, value, condition = validators.get(kind, (None, None, None))
        if header and self.headers.get(condition) == value:
            with open("requests", "a") as log:
                log.write("unchanged\n")
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        if header:
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if kind == "cut" else content)

    def do_PUT(self):
        with open("requests", "a") as log:
            log.write("PUT %s %s\n" % (self.path, self.headers.get("Content-Type")))
        kind, _, rest = self.path[1:].partition("/")
        content = self.rfile.read(int(self.headers["Content-Length"]))
        tries[self.path] = tries.get(self.path, 0) + 1
        if kind == "refused" or (kind == "flaky" and tries[self.path] <= 2):
            self.send_error(403 if kind == "refused" else 503)
            return
        name = rest if kind == "flaky" else self.path[1:]
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "wb") as file:
            file.write(content)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


port_file = os.path.abspath(sys.argv[2])
os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(port_file + ".new", "w") as out:
    out.write(str(server.server_address[1]))
os.rename(port_file + ".new", port_file)
server.serve_forever()

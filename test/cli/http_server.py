"""A small HTTP server for tests: python3 http_server.py FOLDER PORT-FILE. Serves the files of FOLDER, and besides

  /slow/FILE       after a second
  /hang            never answers
  /moved/FILE      redirects to /FILE
  /flaky/FILE      503 the first two times
Each request is a line in FOLDER/requests.
"""
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
        name = rest if kind in ("slow", "flaky") else self.path[1:]
        if not os.path.isfile(name):
            self.send_error(404)
            return
        with open(name, "rb") as source:
            content = source.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


port_file = os.path.abspath(sys.argv[2])
os.chdir(sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(port_file + ".new", "w") as out:
    out.write(str(server.server_address[1]))
os.rename(port_file + ".new", port_file)
server.serve_forever()

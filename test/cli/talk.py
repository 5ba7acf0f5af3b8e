"""A conversation with a program in a terminal: `talk.py COMMAND... < SCRIPT`. Lines of the script:

  > TEXT     type it, and Enter (escapes as in Python: \\t, \\x03)
  - TEXT     type it without Enter
  < TEXT     wait until the terminal has shown it since the last text was typed
  ! TEXT     it has not been shown
  sleep N    seconds

Ends with the exit code of the program, or with 1 and what was seen when something does not come within 20 seconds.
"""
import os
import pty
import re
import select
import sys
import time

pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[1], sys.argv[1:])
seen = ""


def read(seconds):
    global seen
    ready, _, _ = select.select([terminal], [], [], seconds)
    if not ready:
        return False
    try:
        data = os.read(terminal, 1 << 16)
    except OSError:
        return False
    seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace")).replace("\r", "").replace("\x07", "")
    return bool(data)


def settle():
    """Until the program waits for input again: what is typed while it prepares the terminal for that is thrown away by the terminal."""
    end = time.time() + 2
    while read(0.1) and time.time() < end:
        pass


def fail(what, text):
    os.kill(pid, 9)
    sys.exit("%s %r in:\n%s" % (what, text, seen))


for line in sys.stdin:
    kind, _, text = line.rstrip("\n").partition(" ")
    if kind in (">", "-"):
        settle()
        seen = ""
        text = text.encode().decode("unicode_escape")
        os.write(terminal, (text + ("\r" if kind == ">" else "")).encode())
    elif kind == "<":
        end = time.time() + 20
        while text not in seen:
            if time.time() > end:
                fail("did not see", text)
            read(0.2)
    elif kind == "!":
        if text in seen:
            fail("saw", text)
    elif kind == "sleep":
        end = time.time() + float(text)
        while time.time() < end:
            read(0.05)
end = time.time() + 20
while time.time() < end:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        sys.exit(os.waitstatus_to_exitcode(status))
    read(0.05)
fail("still running", "")

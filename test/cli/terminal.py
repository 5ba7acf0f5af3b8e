"""Runs a program in a terminal: `terminal.py COLUMNS ROWS COMMAND...`; prints every distinct picture that the terminal shows, as JSON lines.

{"lines": [...], "colour": bool} for each, and at the end {"status": N, "writes": N, "seconds": N}. With NEW_COLUMNS in the environment the terminal
changes its width after 1.5 seconds.
"""
import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time

import pyte


def main():
    columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    new_columns = int(os.environ.pop('NEW_COLUMNS', '0'))
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
        os.execvp(command[0], command)
    start, writes, last = time.time(), 0, None
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.02)
        if ready:
            try:
                data = os.read(terminal, 1 << 20)
            except OSError:
                break
            if not data:
                break
            writes += 1
            stream.feed(data)
        lines = [line.rstrip() for line in screen.display if line.strip()]
        colour = any(cell.fg != 'default' for row in screen.buffer.values() for cell in row.values())
        if lines != last:
            print(json.dumps({'lines': lines, 'colour': colour}))
            last = lines
        if new_columns and time.time() - start > 1.5:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', rows, new_columns, 0, 0))
            screen.resize(rows, new_columns)
            new_columns = 0
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps({'status': status, 'writes': writes, 'seconds': time.time() - start}))


main()

"""Sends pieces of text over one connection, each as a packet of its own, and reads the answers.

    say.py ADDRESS PORT PIECE...

`\\r`, `\\n` and `\\xNN` in a piece mean those bytes; the piece `@wait` waits until something is answered; `@close`
closes our side. At the end everything is read until the server closes or has been silent for half a second.
"""

import socket
import sys
import time


def main():
    address, port, *pieces = sys.argv[1:]
    with socket.create_connection((address, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            if piece == "@wait":
                connection.recv(65536)
            elif piece == "@close":
                connection.shutdown(socket.SHUT_WR)
            else:
                connection.sendall(piece.encode("latin-1").decode("unicode_escape").encode("latin-1"))
                time.sleep(0.02)
        connection.settimeout(0.5)
        try:
            while connection.recv(65536):
                pass
        except TimeoutError:
            pass


if __name__ == "__main__":
    main()

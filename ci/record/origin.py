"""A small HTTP/1.1 origin of our own for what ordinary servers do not send when asked: trailers, 1xx, odd framing and
spelling, and objects that change between requests.

    origin.py ADDRESS PORT

Answers are written byte by byte, so that the recordings hold exactly what stands here.
"""

import email.utils
import gzip
import hashlib
import json
import random
import socket
import sys
import threading
import time

from site_content import prose

ROUTES = {}


def route(*paths):
    def register(handler):
        ROUTES.update((path, handler) for path in paths)
        return handler

    return register


class Request:
    def __init__(self, method, target, version, fields, reader):
        self.method, self.target, self.version, self.fields = method, target, version, fields
        self.path, _, self.query = target.partition("?")
        self.reader, self.body = reader, b""

    def get(self, name, default=""):
        return ", ".join(value for key, value in self.fields if key.lower() == name) or default


class Reply:
    """What is sent: a head, and a body framed by its length unless the handler frames it itself."""

    def __init__(self, status="200 OK", body=b"", fields=(), kind="text/plain", framed=True):
        self.status, self.fields, self.framed = status, list(fields), framed
        self.body = body.encode() if isinstance(body, str) else body
        if kind and not any(name.lower() == "content-type" for name, _ in self.fields):
            self.fields.append(("Content-Type", kind))


class Connection:
    def __init__(self, sock, state):
        self.sock, self.state, self.reader = sock, state, sock.makefile("rb")
        self.keep = True

    def send(self, data):
        self.sock.sendall(data)

    def pause(self, seconds=0.02):
        """Lets what was sent leave as a packet of its own."""
        time.sleep(seconds)

    def serve(self):
        while self.keep:
            request = self.read_request()
            if request is None:
                return
            if request.get("expect").lower() == "100-continue" and request.path != "/refuse":
                self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            if request.path != "/refuse":
                self.read_body(request)
            self.keep = "close" not in request.get("connection").lower() and request.version == "HTTP/1.1"
            handler = ROUTES.get(request.path)
            reply = handler(self, request) if handler else Reply("404 Not Found", "no such thing here\n")
            if reply is not None:
                self.write(request, reply)

    def write(self, request, reply):
        fields = [("Date", email.utils.formatdate(usegmt=True)), ("Server", "origin"), *reply.fields]
        if reply.framed and not reply.status.startswith(("204", "304")):
            fields.append(("Content-Length", str(len(reply.body))))
        if not self.keep and not any(name.lower() == "connection" for name, _ in fields):
            fields.append(("Connection", "close"))
        head = f"HTTP/1.1 {reply.status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
        body = b"" if request.method == "HEAD" or reply.status.startswith(("204", "304")) else reply.body
        self.send(head.encode("latin-1") + body)

    def read_request(self):
        line = self.reader.readline(65536)
        while line in (b"\r\n", b"\n"):
            line = self.reader.readline(65536)
        if not line.strip():
            return None
        method, target, version = line.decode("latin-1").split()
        fields = []
        while (line := self.reader.readline(65536)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, value.strip()))
        return Request(method, target, version, fields, self.reader)

    def read_body(self, request):
        if "chunked" in request.get("transfer-encoding").lower():
            while size := int(self.reader.readline().split(b";")[0], 16):
                request.body += self.reader.read(size)
                self.reader.readline()
            while self.reader.readline() not in (b"\r\n", b""):
                pass
        else:
            request.body = self.reader.read(int(request.get("content-length", "0")))


def conditional(request, body, fields, kind, tag=None):
    """200 with an entity tag, or 304 when the client has it. Compressed when the client takes gzip."""
    body = body.encode() if isinstance(body, str) else body
    tag = tag or hashlib.sha256(body).hexdigest()[:12]
    fields = list(fields)
    if "gzip" in request.get("accept-encoding") and any(name == "Vary" and "Accept-Encoding" in v for name, v in fields):
        body, tag = gzip.compress(body, mtime=0), tag + "-gzip"
        fields.append(("Content-Encoding", "gzip"))
    fields.append(("ETag", f'"{tag}"'))
    if f'"{tag}"' in request.get("if-none-match"):
        return Reply("304 Not Modified", b"", fields, kind=None)
    return Reply("200 OK", body, fields, kind)


def seeded(request):
    return random.Random(request.get("host") + request.target)


# Objects as an application's interface has them: lifetimes of every kind.

@route("/api/items", "/api/search")
def items(connection, request):
    rng = seeded(request)
    made = [{"id": n, "name": prose(rng, 1)} for n in range(20)]
    fields = [("Cache-Control", "public, max-age=300"), ("Vary", "Accept-Encoding")]
    return conditional(request, json.dumps({"query": request.query, "items": made}, indent=1) + "\n", fields, "application/json")


@route("/api/settings")
def settings(connection, request):
    fields = [("Cache-Control", "max-age=0, s-maxage=600"), ("Surrogate-Key", "settings all"), ("Cache-Tag", "settings,all")]
    return conditional(request, '{"theme": "plain", "columns": 3}\n', fields, "application/json")


@route("/api/clock", "/api/ticker", "/api/private")
def changing(connection, request):
    """Another object at each request; a cache that answers with an earlier one is wrong."""
    control = {"/api/clock": "no-cache", "/api/ticker": "max-age=0, must-revalidate", "/api/private": "private, max-age=600"}
    number = connection.state.next(request.get("host") + request.path)
    rng = random.Random(f"{request.path} {number}")
    fields = [("Cache-Control", control[request.path])]
    return conditional(request, json.dumps({"reading": number, "text": prose(rng, 2)}) + "\n", fields, "application/json")


@route("/api/cart")
def cart(connection, request):
    """Stays fresh for an hour, unless a POST changes it."""
    if request.method == "POST":
        number = connection.state.next("cart")
        return Reply("200 OK", json.dumps({"added": number}) + "\n", [("Cache-Control", "no-store")], "application/json")
    number = connection.state.count("cart")
    body = json.dumps({"in the cart": number, "text": prose(random.Random(number), 3)}) + "\n"
    return conditional(request, body, [("Cache-Control", "max-age=3600")], "application/json")


@route("/api/order")
def order(connection, request):
    fields = [("Location", "/api/cart"), ("Set-Cookie", "order=1001; Path=/; Secure"), ("Set-Cookie", "seen=yes; Max-Age=60")]
    return Reply("303 See Other", "", fields, kind=None)


@route("/api/upload")
def upload(connection, request):
    digest = hashlib.sha256(request.body).hexdigest()
    body = json.dumps({"method": request.method, "bytes": len(request.body), "sha256": digest}) + "\n"
    return Reply("201 Created", body, [("Location", f"/api/uploads/{digest[:8]}"), ("Cache-Control", "no-store")], "application/json")


@route("/refuse")
def refuse(connection, request):
    """Answers before the body, which then is not wanted any more."""
    connection.keep = False
    return Reply("417 Expectation Failed", "not wanted\n")


@route("/api/unstable")
def unstable(connection, request):
    return Reply("503 Service Unavailable", "try later\n", [("Retry-After", "120"), ("Cache-Control", "no-store")])


@route("/api/login")
def login(connection, request):
    if request.get("authorization"):
        return Reply("200 OK", "welcome\n", [("Cache-Control", "private, no-store")])
    return Reply("401 Unauthorized", "who are you?\n", [("WWW-Authenticate", 'Basic realm="example"'), ("Cache-Control", "no-store")])


@route("/news/front", "/news/sport", "/news/weather")
def news(connection, request):
    """Negotiated in two ways, with a lifetime for shared caches and grace after it."""
    language = "de" if request.get("accept-language").startswith("de") else "en"
    fields = [
        ("Cache-Control", "public, max-age=60, s-maxage=600, stale-while-revalidate=30, stale-if-error=86400"),
        ("Vary", "Accept-Encoding, Accept-Language"), ("Content-Language", language), ("X-Edition", "morning"),
    ]
    text = "\n".join(f"<p>{prose(random.Random(request.path + language + str(n)), 4)}</p>" for n in range(8))
    return conditional(request, f"<!DOCTYPE html>\n<title>{request.path}</title>\n{text}\n", fields, "text/html; charset=utf-8")


@route("/news/device")
def device(connection, request):
    kind = "small" if "phone" in request.get("x-device").lower() else "wide"
    return conditional(request, f"a {kind} page\n", [("Cache-Control", "max-age=600"), ("Vary", "X-Device")], "text/plain")


@route("/news/anything")
def vary_star(connection, request):
    return Reply("200 OK", "never the same twice\n", [("Cache-Control", "max-age=600"), ("Vary", "*")])


@route("/news/aged")
def aged(connection, request):
    fields = [("Age", "1200"), ("Cache-Control", "max-age=3600"), ("Via", "1.1 upstream.example.test"), ("Warning", '110 - "old"')]
    return conditional(request, "already twenty minutes old\n", fields, "text/plain")


@route("/news/expires")
def expires(connection, request):
    ahead = email.utils.formatdate(time.time() + 3600, usegmt=True)
    fields = [("Expires", ahead), ("Last-Modified", "Mon, 21 Sep 2026 14:00:00 GMT")]
    return Reply("200 OK", "fresh for an hour by a date\n", fields)


@route("/news/missing")
def missing(connection, request):
    return Reply("404 Not Found", "no such story\n", [("Cache-Control", "max-age=60")])


@route("/news/weak")
def weak(connection, request):
    if 'W/"loose"' in request.get("if-none-match"):
        return Reply("304 Not Modified", "", [("ETag", 'W/"loose"'), ("Cache-Control", "max-age=120"), ("X-Updated", "by a 304")], kind=None)
    return Reply("200 OK", "equal in meaning\n", [("ETag", 'W/"loose"'), ("Cache-Control", "no-cache")])


@route("/news/hop")
def hop_by_hop(connection, request):
    """Fields for this connection only, beside one for everybody."""
    fields = [
        ("Connection", "keep-alive, X-Node"), ("Keep-Alive", "timeout=5, max=100"), ("X-Node", "node-17"),
        ("Proxy-Connection", "keep-alive"), ("X-Kept", "for everybody"), ("Cache-Control", "max-age=600"),
    ]
    return Reply("200 OK", "mind the hop\n", fields)


@route("/news/cookie")
def cookie(connection, request):
    fields = [("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2; Expires=Fri, 01 Jan 2027 00:00:00 GMT"), ("Cache-Control", "no-store")]
    return Reply("200 OK", f"cookies seen: {request.get('cookie')}\n", fields)


# Framing: how a message's end is told.

def chunked(connection, request, pieces, fields=(), trailers=(), extension="", pause=0.005):
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
    head += f"Date: {email.utils.formatdate(usegmt=True)}\r\n"
    connection.send((head + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n").encode("latin-1"))
    if request.method == "HEAD":
        return
    for piece in pieces:
        connection.pause(pause)
        connection.send(f"{len(piece):X}{extension}\r\n".encode() + piece + b"\r\n")
    connection.send(b"0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers).encode() + b"\r\n")


@route("/framing/chunked", "/news/live")
def many_chunks(connection, request):
    rng = seeded(request)
    pieces = [prose(rng, 1).encode() + b"\n" for _ in range(30)]
    chunked(connection, request, pieces, [("Cache-Control", "max-age=600")], extension=";part=text" if "framing" in request.path else "")


@route("/framing/slow")
def slow(connection, request):
    """Takes three seconds."""
    rng = seeded(request)
    chunked(connection, request, [prose(rng, 2).encode() + b"\n" for _ in range(30)], pause=0.1)


@route("/framing/trailers", "/news/digest")
def trailers(connection, request):
    rng = seeded(request)
    pieces = [prose(rng, 2).encode() + b"\n" for _ in range(6)]
    digest = hashlib.sha256(b"".join(pieces)).hexdigest()
    chunked(connection, request, pieces, [("Trailer", "X-Checksum, X-Count"), ("Cache-Control", "no-store")],
            [("X-Checksum", digest), ("X-Count", str(len(pieces)))])


@route("/framing/one-byte-chunks")
def tiny_chunks(connection, request):
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n\r\n"
                    + b"".join(b"1\r\n%c\r\n" % byte for byte in b"one byte at a time") + b"000\r\n\r\n")


@route("/framing/until-close")
def until_close(connection, request):
    connection.keep = False
    text = prose(seeded(request), 40)
    return Reply("200 OK", text, [("Connection", "close"), ("Cache-Control", "max-age=60")], framed=False)


@route("/framing/http10")
def http10(connection, request):
    connection.keep = False
    connection.send(b"HTTP/1.0 200 OK\r\nServer: old\r\nContent-Type: text/plain\r\n\r\nup to the end of the connection\n")


@route("/framing/short")
def short(connection, request):
    """Promises 1000 bytes, sends 300, and closes."""
    connection.keep = False
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nCache-Control: max-age=600\r\n\r\n" + b"x" * 300)


@route("/framing/cut-chunk")
def cut_chunk(connection, request):
    """A chunked body that never ends: the connection does."""
    connection.keep = False
    connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=600\r\n\r\n64\r\n" + b"y" * 100 + b"\r\n64\r\nyyy")


@route("/framing/reset")
def reset(connection, request):
    import struct

    connection.keep = False
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"z" * 2000)
    connection.pause(0.05)
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@route("/framing/slow-head")
def slow_head(connection, request):
    """A head in pieces that split names, values and line ends."""
    for piece in (b"HTT", b"P/1.1 20", b"0 OK\r", b"\nContent-Le", b"ngth: 1", b"2\r\nX-Split: a", b" b\r\n\r", b"\nhello", b" there\n"):
        connection.send(piece)
        connection.pause(0.015)


@route("/framing/two-lengths")
def two_lengths(connection, request):
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 6\r\n\r\ntwice\n")


@route("/framing/no-content")
def no_content(connection, request):
    return Reply("204 No Content", "", [("X-Why", "nothing to say")], kind=None)


@route("/framing/bare-newlines")
def bare_newlines(connection, request):
    connection.send(b"HTTP/1.1 200 OK\nContent-Length: 9\nX-Line-Ends: bare\n\nnewlines\n")


# Interim responses.

@route("/interim/early-hints", "/news/hints")
def early_hints(connection, request):
    connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </assets/site.css>; rel=preload; as=style\r\n\r\n")
    connection.pause()
    return Reply("200 OK", "hinted\n", [("Link", "</assets/site.css>; rel=preload; as=style"), ("Cache-Control", "max-age=600")])


@route("/interim/several")
def several(connection, request):
    for line in ("100 Continue", "102 Processing", "103 Early Hints\r\nLink: </a>; rel=preload", "103 Early Hints\r\nLink: </b>; rel=preload"):
        connection.send(f"HTTP/1.1 {line}\r\n\r\n".encode())
        connection.pause(0.01)
    return Reply("200 OK", "after four interim responses\n")


@route("/interim/upgrade")
def upgrade(connection, request):
    """Switches to a protocol of its own: echoes lines in capitals."""
    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n")
    while line := connection.reader.readline():
        connection.send(line.upper())
    connection.keep = False


# Spelling: fields as no well-kept server writes them.

@route("/spelling/fields")
def spelling(connection, request):
    connection.send(
        b"HTTP/1.1 200 Very Well, Thank You\r\ncontent-LENGTH:9\r\nX-Empty:\r\nX-Spaces:   around   \t\r\nx-TWICE: one\r\n"
        b"X-Twice: two\r\nX-Latin: caf\xe9\r\nX-Utf: caf\xc3\xa9\r\nX-Quoted: \"a, b\"; c=\"\\\"\"\r\nX_Under_Score: yes\r\n"
        b"X-Comma: a,,b , ,c\r\n!#$%&'*+-.^_`|~: every sign a name may have\r\nX-Last: \r\n\r\nspelling\n"
    )


@route("/spelling/folded")
def folded(connection, request):
    connection.send(b"HTTP/1.1 200 OK\r\nX-Folded: first\r\n second\r\n\tthird\r\nContent-Length: 7\r\n\r\nfolded\n")


@route("/spelling/no-reason")
def no_reason(connection, request):
    connection.send(b"HTTP/1.1 299 \r\nContent-Length: 3\r\n\r\nok\n")


@route("/spelling/large-field")
def large_field(connection, request):
    return Reply("200 OK", "large\n", [("X-Large", "v" * 7000)])


@route("/echo")
def echo(connection, request):
    lines = [f"{request.method} {request.target} {request.version}", *(f"{name}: {value}" for name, value in request.fields)]
    return Reply("200 OK", "\n".join(lines) + f"\n\n{len(request.body)} bytes\n", [("Cache-Control", "no-store")])


class State:
    """How often each object was changed."""

    def __init__(self):
        self.lock, self.numbers = threading.Lock(), {}

    def next(self, key):
        with self.lock:
            self.numbers[key] = self.numbers.get(key, 0) + 1
            return self.numbers[key]

    def count(self, key):
        with self.lock:
            return self.numbers.get(key, 0)


def serve_one(sock, state):
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            Connection(sock, state).serve()
        except (ConnectionError, ValueError, TimeoutError) as error:
            print(f"connection ended: {error}", file=sys.stderr)


def main():
    address, port = sys.argv[1], int(sys.argv[2])
    state = State()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=64) as listener:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve_one, args=(sock, state), daemon=True).start()


if __name__ == "__main__":
    main()

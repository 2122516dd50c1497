# Varnish as a caching reverse proxy that answers PURGE. {…} is filled in when it is started.
vcl 4.1;

backend default {
    .host = "{host}";
    .port = "{port}";
}

acl purgers {
    "127.0.0.1";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (client.ip !~ purgers) {
            return (synth(403));
        }
        return (purge);
    }
}

sub vcl_backend_response {
    # Nothing stale is served unless the response allows it.
    set beresp.grace = 0s;
}

# Varnish as most people start with it: the built-in rules, an origin, and a field that tells hits from misses.
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "8080"; }
sub vcl_deliver {
    set resp.http.X-Cache = obj.hits;
}

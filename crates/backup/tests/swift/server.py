"""OpenStack Swift, whole, in one process: account, container, object and proxy server, the S3 protocol before the last.

Usage: server.py DIR [CERTIFICATE KEY]. What it keeps lies in DIR; started there again it has the same ports. It makes the buckets
`plant` and `other`, says `ready PORT`, and ends with whoever started it.
"""

import ctypes
import json
import os
import socket
import sys

ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL

import eventlet

eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True, time=True)

from eventlet import wsgi
from swift.common import utils

base = sys.argv[1]
KINDS = ("account", "container", "object")


def write(name, text):
    with open(os.path.join(base, name), "w") as file:
        file.write(text)


def listen(port):
    listener = eventlet.listen(("127.0.0.1", port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


os.makedirs(base + "/devices/disk", exist_ok=True)
write("swift.conf", "[swift-hash]\nswift_hash_path_suffix = test\n")
utils.set_swift_dir(base)

from swift.common.ring import RingBuilder
from swift.common.swob import Request
from swift.common.wsgi import SwiftHttpProtocol, loadapp

try:
    with open(base + "/ports") as file:
        ports = json.load(file)
except FileNotFoundError:
    ports = {}
sockets = {kind: listen(ports.get(kind, 0)) for kind in (*KINDS, "proxy")}
ports = {kind: listener.getsockname()[1] for kind, listener in sockets.items()}
write("ports", json.dumps(ports))
for kind in KINDS:
    ring = RingBuilder(1, 1, 1)
    ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": ports[kind], "device": "disk"})
    ring.rebalance()
    ring.get_ring().save(f"{base}/{kind}.ring.gz")

COMMON = f"""[DEFAULT]
swift_dir = {base}
devices = {base}/devices
mount_check = false
fallocate_reserve = 0
disable_fallocate = true
log_address = {base}/no-syslog
"""
PROXY = """
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
"""
for kind in KINDS:
    write(kind + ".conf", f"{COMMON}\n[pipeline:main]\npipeline = server\n\n[app:server]\nuse = egg:swift#{kind}\n")
write("inside.conf", COMMON + "\n[pipeline:main]\npipeline = proxy-server\n" + PROXY)
FILTERS = {
    "catch_errors": "",
    "gatekeeper": "",
    # Nobody listens there: nothing is remembered, so that all is asked of the disk.
    "cache": "memcache_servers = 127.0.0.1:1\n",
    "bulk": "",
    # Pages and parts are as small as the tests need them.
    "s3api": "location = us-east-1\nmin_segment_size = 1\nmax_bucket_listing = 7\n",
    "tempauth": "user_test_tester = testing .admin\n",
    "slo": "",
    "dlo": "",
}
filters = "".join(f"\n[filter:{name}]\nuse = egg:swift#{name.replace('cache', 'memcache')}\n{settings}" for name, settings in FILTERS.items())
write("proxy.conf", f"{COMMON}\n[pipeline:main]\npipeline = {' '.join(FILTERS)} proxy-server\n{PROXY}{filters}")


class Quiet:
    def write(self, text):
        pass


def serve(kind, listener):
    wsgi.server(listener, loadapp(f"{base}/{kind}.conf"), Quiet(), protocol=SwiftHttpProtocol)


for kind in KINDS:
    eventlet.spawn(serve, kind, sockets[kind])
inside = loadapp(base + "/inside.conf")
for bucket in ("plant", "other"):
    made = Request.blank("/v1/AUTH_test/" + bucket, method="PUT").get_response(inside)
    assert made.is_success, (bucket, made.status, made.body)
if len(sys.argv) > 2:
    sockets["proxy"] = eventlet.wrap_ssl(sockets["proxy"], certfile=sys.argv[2], keyfile=sys.argv[3], server_side=True)
print("ready", ports["proxy"], flush=True)
serve("proxy", sockets["proxy"])

"""A client that will be killed: it makes an ephemeral and writes until then.

The last line it printed tells when it last asked for something that was acknowledged: until then,
plus its timeout, the ensemble must keep its ephemeral.
"""

import sys
import time

from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, OperationTimeoutError
from kazoo.retry import KazooRetry

hosts, ephemeral, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
retry = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.2)
zk = KazooClient(hosts=hosts, timeout=timeout, connection_retry=retry)
zk.start(timeout=60)
zk.create(ephemeral, ephemeral=True)
while True:
    asked_at = time.monotonic()
    try:
        zk.set(ephemeral, b"alive")
    except (ConnectionLoss, OperationTimeoutError):
        continue
    print(asked_at, flush=True)

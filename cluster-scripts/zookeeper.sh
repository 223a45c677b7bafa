#!/usr/bin/env bash
# Runs an ensemble of N Apache ZooKeeper servers on this machine, to be measured beside ours.
set -euo pipefail
# shellcheck source=cluster-scripts/ensemble.sh
. "$(dirname "${BASH_SOURCE[0]}")/ensemble.sh"

usage() {
  cat >&2 <<'TEXT'
usage: zookeeper.sh VERB N BASEPORT DIR [I]

The verbs and files are those of cluster.sh. Server I serves clients on 127.0.0.1:BASEPORT+I, its quorum on
+100 and elections on +200. Settings are those of the stock zoo_sample.cfg (tickTime 2000, initLimit 10,
syncLimit 5), but for maxClientCnxns=0, a dataLogDir of its own, autopurge and no admin server; forceSync is on.

  ZOOKEEPER_CLASS_PATH  the server's jars (default: version 3.9.5, fetched by mvn into target/zookeeper)
  ZOOKEEPER_JVM         options of the JVM (default -Xmx1000m, as the server's own scripts have it)
  JAVA                  a JVM from version 11 on (default: java)
TEXT
  exit 2
}

java=${JAVA:-java}

# Fetched once, and again when the list of what is fetched has changed.
check() {
  command -v "$java" > /dev/null || die "$java is missing: install a JDK from version 11 on"
  [ -z "${ZOOKEEPER_CLASS_PATH:-}" ] || return 0
  local kept="${CARGO_TARGET_DIR:-$root/target}/zookeeper" pom="$root/tests/conformance/zookeeper/pom.xml" made
  made=$(cksum < "$pom")
  if [ "$(cat "$kept/.made-from" 2>/dev/null)" != "$made" ]; then
    command -v mvn > /dev/null || die "mvn is missing: install maven, or set ZOOKEEPER_CLASS_PATH"
    echo "Fetching ZooKeeper" >&2
    rm -rf "$kept"
    mkdir -p "$kept"
    mvn --quiet --batch-mode -o --file "$pom" "-Dscratch=$kept" compile > /dev/null 2>&1 \
      || mvn --quiet --batch-mode --file "$pom" "-Dscratch=$kept" compile >&2 || die "ZooKeeper could not be fetched"
    echo "$made" > "$kept/.made-from"
  fi
  ZOOKEEPER_CLASS_PATH=$kept/lib/*
}

mark() { echo "QuorumPeerMain $directory/data-$1/zoo.cfg"; }

launch() {
  local i=$1 home="$directory/data-$1" k
  mkdir -p "$home/snapshots" "$home/log"
  echo "$i" > "$home/snapshots/myid"
  {
    printf '%s\n' tickTime=2000 initLimit=10 syncLimit=5 maxClientCnxns=0 admin.enableServer=false \
      autopurge.snapRetainCount=3 autopurge.purgeInterval=1 '4lw.commands.whitelist=*'
    echo "dataDir=$home/snapshots"
    echo "dataLogDir=$home/log"
    echo "clientPort=$((base + i))"
    echo "clientPortAddress=127.0.0.1"
    for k in $(seq "$members"); do echo "server.$k=127.0.0.1:$((base + 100 + k)):$((base + 200 + k))"; done
  } > "$home/zoo.cfg"
  cat > "$home/logback.xml" <<'XML'
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{ISO8601} %-5p %c{1} %m%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
XML
  # shellcheck disable=SC2086  # the options are several words
  spawn "$i" "$java" ${ZOOKEEPER_JVM:--Xmx1000m} "-Dlogback.configurationFile=$home/logback.xml" \
    -cp "$ZOOKEEPER_CLASS_PATH" org.apache.zookeeper.server.quorum.QuorumPeerMain "$home/zoo.cfg"
}

mode() { zookeeper_mode "$1"; }

ensemble "$@"

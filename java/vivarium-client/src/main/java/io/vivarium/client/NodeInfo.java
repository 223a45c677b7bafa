package io.vivarium.client;

import java.util.Collections;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * What a node tells of itself. Kept as a JSON object in the value of its entry, so that clients of the ZooKeeper
 * protocol read it too.
 */
public final class NodeInfo {
    final io.vivarium.v1.NodeInfo message;

    NodeInfo(io.vivarium.v1.NodeInfo message) {
        this.message = message;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** {@code null} where it is not told, as with the other texts. */
    public String mac() {
        return message.hasMac() ? message.getMac() : null;
    }

    public String hostname() {
        return message.hasHostname() ? message.getHostname() : null;
    }

    public OptionalInt port() {
        return message.hasPort() ? OptionalInt.of(message.getPort()) : OptionalInt.empty();
    }

    public String address() {
        return message.hasAddress() ? message.getAddress() : null;
    }

    public OptionalLong processId() {
        return message.hasProcessId() ? OptionalLong.of(message.getProcessId()) : OptionalLong.empty();
    }

    /** Milliseconds since 1970. */
    public OptionalLong startupTimeMs() {
        return message.hasStartupTimeMs() ? OptionalLong.of(message.getStartupTimeMs()) : OptionalLong.empty();
    }

    /** "NORMAL", "BUSY" or what the host says. */
    public String status() {
        return message.hasStatus() ? message.getStatus() : null;
    }

    /** 1 to 10,000; 100 is normal. */
    public OptionalInt weight() {
        return message.hasWeight() ? OptionalInt.of(message.getWeight()) : OptionalInt.empty();
    }

    public Map<String, String> labels() {
        return Collections.unmodifiableMap(message.getLabelsMap());
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof NodeInfo && ((NodeInfo) other).message.equals(message);
    }

    @Override
    public int hashCode() {
        return message.hashCode();
    }

    /** What is not set is not told. */
    public static final class Builder {
        private final io.vivarium.v1.NodeInfo.Builder message = io.vivarium.v1.NodeInfo.newBuilder();

        private Builder() {}

        /** Six pairs of hexadecimal digits separated by ":". */
        public Builder mac(String mac) {
            message.setMac(mac);
            return this;
        }

        public Builder hostname(String hostname) {
            message.setHostname(hostname);
            return this;
        }

        /** 1 to 65535. */
        public Builder port(int port) {
            message.setPort(port);
            return this;
        }

        public Builder address(String address) {
            message.setAddress(address);
            return this;
        }

        public Builder processId(long processId) {
            message.setProcessId(processId);
            return this;
        }

        /** Milliseconds since 1970. */
        public Builder startupTimeMs(long startupTimeMs) {
            message.setStartupTimeMs(startupTimeMs);
            return this;
        }

        public Builder status(String status) {
            message.setStatus(status);
            return this;
        }

        /** 1 to 10,000. */
        public Builder weight(int weight) {
            message.setWeight(weight);
            return this;
        }

        /** Whatever else the host wants to be known. */
        public Builder label(String name, String value) {
            message.putLabels(name, value);
            return this;
        }

        public NodeInfo build() {
            return new NodeInfo(message.build());
        }
    }
}

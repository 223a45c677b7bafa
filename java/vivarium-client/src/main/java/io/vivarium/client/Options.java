package io.vivarium.client;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import javax.net.ssl.SSLSocketFactory;

/** What a client was told when it was built, checked. */
final class Options {
    /** Members that a client may know. */
    static final int ENDPOINTS_MAX = 64;
    /** A heartbeat is this part of the session's timeout, where nothing else is asked for. */
    private static final int HEARTBEATS_PER_TIMEOUT = 5;
    /**
     * A sign of life is given so often at least, so that an answer may be late before a third of the timeout is
     * over.
     */
    private static final int HEARTBEATS_PER_TIMEOUT_MIN = 4;

    /** Where a member is. */
    static final class Endpoint {
        final String host;
        final int port;

        Endpoint(String host, int port) {
            this.host = host;
            this.port = port;
        }

        @Override
        public String toString() {
            return (host.indexOf(':') < 0 ? host : "[" + host + "]") + ":" + port;
        }
    }

    final List<Endpoint> endpoints;
    final String clientId;
    final Duration sessionTimeout;
    /** {@code null}: a fifth of the timeout. */
    final Duration heartbeat;
    final Duration requestTimeout;
    final Duration connectTimeout;
    final boolean reopen;
    /** Of the {@code authorization} header; {@code null} without. */
    final String authorization;
    /** {@code null} where TLS is not spoken. */
    final SSLSocketFactory sockets;

    Options(VivariumClient.Builder from) {
        endpoints = Collections.unmodifiableList(parsed(from.endpoints));
        clientId = from.clientId;
        sessionTimeout = positive("session timeout", from.sessionTimeout);
        heartbeat = from.heartbeat == null ? null : positive("heartbeat interval", from.heartbeat);
        requestTimeout = positive("request timeout", from.requestTimeout);
        connectTimeout = positive("connect timeout", from.connectTimeout);
        reopen = from.reopen;
        authorization = authorization(from);
        sockets = from.tls == null ? null : from.tls.sockets();
    }

    private static Duration positive(String what, Duration time) {
        if (time == null || time.isNegative() || time.isZero()) {
            throw VivariumException.invalid("the " + what + " is more than nothing, and not " + time);
        }
        return time;
    }

    private static List<Endpoint> parsed(List<String> texts) {
        if (texts.isEmpty() || texts.size() > ENDPOINTS_MAX) {
            throw VivariumException.invalid(
                    "a client is told 1 to " + ENDPOINTS_MAX + " endpoints, and not " + texts.size());
        }
        List<Endpoint> endpoints = new ArrayList<>();
        for (String text : texts) {
            endpoints.add(parsed(text));
        }
        return endpoints;
    }

    static Endpoint parsed(String text) {
        String address = text.startsWith("http://") ? text.substring("http://".length()) : text;
        address = address.endsWith("/") ? address.substring(0, address.length() - 1) : address;
        int colon = address.lastIndexOf(':');
        String host = colon < 0 ? "" : address.substring(0, colon);
        int port = colon < 0 ? 0 : port(address.substring(colon + 1));
        boolean bracketed = host.startsWith("[") && host.endsWith("]");
        if (bracketed) {
            host = host.substring(1, host.length() - 1);
        }
        boolean whole = host.matches(bracketed ? "[0-9A-Fa-f:.%a-z]+" : "[^\\s/:@?#\\[\\]]+");
        if (port < 1 || !whole) {
            throw VivariumException.invalid(
                    "the endpoint \"" + text + "\" is not HOST:PORT, with a port from 1 to 65535");
        }
        return new Endpoint(host, port);
    }

    private static int port(String text) {
        if (!text.matches("[0-9]{1,5}")) {
            return 0;
        }
        int port = Integer.parseInt(text);
        return port > 65_535 ? 0 : port;
    }

    private static String authorization(VivariumClient.Builder from) {
        String value = null;
        if (from.user != null) {
            if (from.user.indexOf(':') >= 0) {
                throw VivariumException.invalid("a user's name has no `:` in it");
            }
            byte[] proof = (from.user + ":" + from.password).getBytes(StandardCharsets.UTF_8);
            value = "Basic " + Base64.getEncoder().encodeToString(proof);
        }
        if (from.token != null) {
            if (value != null) {
                throw VivariumException.invalid("a client proves who it is by a password or by a token, not by both");
            }
            if (from.token.isEmpty() || !from.token.matches("[\\x21-\\x7e]+")) {
                throw VivariumException.invalid("a token has visible ASCII characters, at least one, and no others");
            }
            value = "Bearer " + from.token;
        }
        return value;
    }

    /** The interval of signs of life for a session that has this timeout. */
    long heartbeatNanos(long timeoutNanos) {
        long wanted = heartbeat == null ? timeoutNanos / HEARTBEATS_PER_TIMEOUT : Deadline.nanos(heartbeat);
        return Math.max(1_000_000, Math.min(wanted, timeoutNanos / HEARTBEATS_PER_TIMEOUT_MIN));
    }

    /** Milliseconds for the protocol: at least one, so that nothing that was asked for becomes "unset". */
    static int millis(Duration time) {
        return (int) Math.max(1, Math.min(Integer.MAX_VALUE, Deadline.nanos(time) / 1_000_000));
    }
}

package io.vivarium.client;

import com.google.protobuf.ByteString;
import java.nio.charset.StandardCharsets;

/** An entry of the registry, as it was when it was read. */
public final class Entry {
    private final io.vivarium.v1.Entry entry;

    Entry(io.vivarium.v1.Entry entry) {
        this.entry = entry;
    }

    public String path() {
        return entry.getPath();
    }

    /** A copy of its bytes. */
    public byte[] value() {
        return entry.getValue().toByteArray();
    }

    ByteString bytes() {
        return entry.getValue();
    }

    /** Its bytes as UTF-8. */
    public String text() {
        return entry.getValue().toString(StandardCharsets.UTF_8);
    }

    /** Counts the changes of the value, from 0. */
    public int version() {
        return entry.getVersion();
    }

    public Lifetime lifetime() {
        return entry.getLifetime() == io.vivarium.v1.Lifetime.LIFETIME_SESSION
                ? Lifetime.SESSION : Lifetime.PERSISTENT;
    }

    /** The session that it ends with; 0 for a persistent one. */
    public long sessionId() {
        return entry.getSessionId();
    }

    /** When it came into being. */
    public long createdZxid() {
        return entry.getCreatedZxid();
    }

    /** When its value was set last. */
    public long modifiedZxid() {
        return entry.getModifiedZxid();
    }

    /** Milliseconds since 1970, by the leader's clock. */
    public long createdMs() {
        return entry.getCreatedMs();
    }

    /** Milliseconds since 1970, by the leader's clock. */
    public long modifiedMs() {
        return entry.getModifiedMs();
    }

    /** How many entries are right below it. */
    public int children() {
        return entry.getChildren();
    }

    /** {@code null} unless the value is such a JSON object. */
    public NodeInfo node() {
        return entry.hasNode() ? new NodeInfo(entry.getNode()) : null;
    }

    /** {@code null} unless the value is such a JSON object. */
    public JobInfo job() {
        return entry.hasJob() ? new JobInfo(entry.getJob()) : null;
    }

    @Override
    public String toString() {
        return path() + " (" + entry.getValue().size() + " bytes, version " + version() + ")";
    }
}

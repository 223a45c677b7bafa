package io.vivarium.client;

import java.nio.charset.StandardCharsets;

/** One change of an entry. */
public final class Change {
    /** What sort of change it is. */
    public enum Kind {
        ADDED,
        UPDATED,
        /** The value is the last one. */
        REMOVED,
        /** The access list; the value is left out. */
        ACCESS_CHANGED,
        /** One of a later release. */
        UNKNOWN
    }

    final io.vivarium.v1.Change change;

    Change(io.vivarium.v1.Change change) {
        this.change = change;
    }

    public Kind kind() {
        switch (change.getKind()) {
            case CHANGE_KIND_ADDED:
                return Kind.ADDED;
            case CHANGE_KIND_UPDATED:
                return Kind.UPDATED;
            case CHANGE_KIND_REMOVED:
                return Kind.REMOVED;
            case CHANGE_KIND_ACCESS_CHANGED:
                return Kind.ACCESS_CHANGED;
            default:
                return Kind.UNKNOWN;
        }
    }

    public String path() {
        return change.getPath();
    }

    /** A copy of the bytes: the new value; the last one of what was removed. */
    public byte[] value() {
        return change.getValue().toByteArray();
    }

    /** The bytes as UTF-8. */
    public String text() {
        return change.getValue().toString(StandardCharsets.UTF_8);
    }

    public int version() {
        return change.getVersion();
    }

    /** The session that the entry ends with; 0 for a persistent one. */
    public long sessionId() {
        return change.getSessionId();
    }

    @Override
    public String toString() {
        return kind() + " " + path();
    }
}

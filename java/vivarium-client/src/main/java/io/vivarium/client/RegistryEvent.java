package io.vivarium.client;

import com.google.protobuf.ByteString;
import java.nio.charset.StandardCharsets;

/** What happened to an entry below a path that is subscribed to. */
public final class RegistryEvent {
    private final EventType type;
    private final String path;
    private final ByteString value;
    private final int version;
    private final long sessionId;
    private final long zxid;

    RegistryEvent(EventType type, String path, ByteString value, int version, long sessionId, long zxid) {
        this.type = type;
        this.path = path;
        this.value = value;
        this.version = version;
        this.sessionId = sessionId;
        this.zxid = zxid;
    }

    static RegistryEvent of(Entry entry) {
        return new RegistryEvent(
                EventType.ADD, entry.path(), entry.bytes(), entry.version(), entry.sessionId(), entry.modifiedZxid());
    }

    static RegistryEvent of(Change change, long zxid) {
        return new RegistryEvent(
                change.kind() == Change.Kind.REMOVED ? EventType.REMOVE : EventType.UPDATE,
                change.path(),
                change.change.getValue(),
                change.version(),
                change.sessionId(),
                zxid);
    }

    RegistryEvent as(EventType other) {
        return new RegistryEvent(other, path, value, version, sessionId, zxid);
    }

    boolean isSame(RegistryEvent other) {
        return version == other.version && sessionId == other.sessionId && zxid == other.zxid;
    }

    /** Of the path, as UTF-8, and of the value. */
    int bytes() {
        int bytes = value.size();
        for (int at = 0; at < path.length(); at++) {
            char each = path.charAt(at);
            // Each of the two halves of what takes four.
            bytes += each < 0x80 ? 1 : each < 0x800 || Character.isSurrogate(each) ? 2 : 3;
        }
        return bytes;
    }

    public EventType type() {
        return type;
    }

    public String path() {
        return path;
    }

    /** A copy of the bytes: the new value; the last one of an entry that is gone. */
    public byte[] value() {
        return value.toByteArray();
    }

    /** The bytes as UTF-8. */
    public String text() {
        return value.toString(StandardCharsets.UTF_8);
    }

    /** Counts the changes of the value, from 0. */
    public int version() {
        return version;
    }

    /** The session that the entry ends, or ended, with; 0 for a persistent one. */
    public long sessionId() {
        return sessionId;
    }

    /** Of the change; of the entry's last change where it was there when the subscription began. */
    public long zxid() {
        return zxid;
    }

    @Override
    public String toString() {
        return type + " " + path + " (" + value.size() + " bytes, version " + version + ")";
    }
}

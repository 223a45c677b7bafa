package io.vivarium.plugin;

/** A change below a path that is subscribed to, or an entry that was there when the subscription began. */
public final class Change {
    /** What happened to the entry. */
    public enum Type {
        ADD, UPDATE, REMOVE
    }

    private final Type type;
    private final String key;
    private final String path;
    private final String data;

    Change(Type type, String key, String path, String data) {
        this.type = type;
        this.key = key;
        this.path = path;
        this.data = data;
    }

    public Type type() {
        return type;
    }

    /** The path that was subscribed to. */
    public String key() {
        return key;
    }

    /** The entry's own path, without the namespace. */
    public String path() {
        return path;
    }

    /** Its value; of an entry that is gone, the last one. */
    public String data() {
        return data;
    }

    @Override
    public String toString() {
        return type + " " + path + " (of " + key + ", " + (data == null ? 0 : data.length()) + " characters)";
    }
}

package org.apache.streampark.registry.api;

public class Event {
    private final String key;
    private final String path;
    private final String data;
    private final Type type;

    public Event(String key, String path, String data, Type type) {
        this.key = key;
        this.path = path;
        this.data = data;
        this.type = type;
    }

    public static EventBuilder builder() {
        return new EventBuilder();
    }

    public String key() {
        return key;
    }

    public String path() {
        return path;
    }

    public String data() {
        return data;
    }

    public Type type() {
        return type;
    }

    @Override
    public String toString() {
        return type + " " + path;
    }

    public enum Type {
        ADD,
        REMOVE,
        UPDATE
    }

    public static class EventBuilder {
        private String key;
        private String path;
        private String data;
        private Type type;

        EventBuilder() {
        }

        public EventBuilder key(String value) {
            this.key = value;
            return this;
        }

        public EventBuilder path(String value) {
            this.path = value;
            return this;
        }

        public EventBuilder data(String value) {
            this.data = value;
            return this;
        }

        public EventBuilder type(Type value) {
            this.type = value;
            return this;
        }

        public Event build() {
            return new Event(key, path, data, type);
        }
    }
}

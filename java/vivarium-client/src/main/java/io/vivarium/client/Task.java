package io.vivarium.client;

import com.google.protobuf.ByteString;
import java.util.Collections;
import java.util.Map;

/** What is to be done once. */
public final class Task {
    final io.vivarium.v1.Task message;

    Task(io.vivarium.v1.Task message) {
        this.message = message;
    }

    /** About the job or the application of this key, as text: its owner by the ring gets the task. 1 to 1,024 bytes. */
    public static Builder of(String key) {
        return new Builder(key);
    }

    public String key() {
        return message.getKey();
    }

    public String action() {
        return message.getAction();
    }

    public String engine() {
        return message.getEngine();
    }

    public Map<String, String> properties() {
        return Collections.unmodifiableMap(message.getPropertiesMap());
    }

    /** A copy of its bytes. */
    public byte[] payload() {
        return message.getPayload().toByteArray();
    }

    public boolean autoStart() {
        return message.getAutoStart();
    }

    /** 0 to 9; 0 goes first. */
    public int priority() {
        return message.hasPriority() ? message.getPriority() : 5;
    }

    public String idempotencyKey() {
        return message.getIdempotencyKey();
    }

    /** How often it may be claimed. */
    public int attemptsMax() {
        return message.getAttemptsMax() == 0 ? 3 : message.getAttemptsMax();
    }

    @Override
    public String toString() {
        return action() + " of " + key();
    }

    /** What is not set is empty. */
    public static final class Builder {
        private final io.vivarium.v1.Task.Builder message = io.vivarium.v1.Task.newBuilder();

        private Builder(String key) {
            message.setKey(key);
        }

        /** Up to the host. 64 bytes at most. */
        public Builder action(String action) {
            message.setAction(action);
            return this;
        }

        /** 64 bytes at most. */
        public Builder engine(String engine) {
            message.setEngine(engine);
            return this;
        }

        /** 256 of them at most, with 64 KiB of names and values together. */
        public Builder property(String name, String value) {
            message.putProperties(name, value);
            return this;
        }

        /** 64 KiB at most. */
        public Builder payload(byte[] payload) {
            message.setPayload(ByteString.copyFrom(payload));
            return this;
        }

        public Builder autoStart(boolean autoStart) {
            message.setAutoStart(autoStart);
            return this;
        }

        /** 0 to 9; 0 goes first; 5 by default. */
        public Builder priority(int priority) {
            message.setPriority(priority);
            return this;
        }

        /**
         * As long as the task lives, and an hour longer, enqueueing with the same key gives the same id and changes
         * nothing. 256 bytes at most.
         */
        public Builder idempotencyKey(String key) {
            message.setIdempotencyKey(key);
            return this;
        }

        /** How often it may be claimed: 1 to 100; 3 by default. */
        public Builder attemptsMax(int attempts) {
            message.setAttemptsMax(attempts);
            return this;
        }

        public Task build() {
            return new Task(message.build());
        }
    }
}

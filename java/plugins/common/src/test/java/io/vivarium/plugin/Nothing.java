package io.vivarium.plugin;

import java.time.Duration;
import java.util.Collection;
import java.util.Collections;
import java.util.function.Consumer;

/** A registry that forgets what is written to it. */
class Nothing implements RegistryBackend {
    @Override
    public void start() {
    }

    @Override
    public boolean isConnected() {
        return true;
    }

    @Override
    public void connectUntilTimeout(Duration timeout) {
    }

    @Override
    public void addConnectionStateListener(Consumer<State> listener) {
    }

    @Override
    public void subscribe(String key, Consumer<Change> listener) {
    }

    @Override
    public void unsubscribe(String key) {
    }

    @Override
    public String get(String key) {
        throw new UnsupportedOperationException(key);
    }

    @Override
    public void put(String key, String value, boolean deleteOnDisconnect) {
    }

    @Override
    public void delete(String key) {
    }

    @Override
    public Collection<String> children(String key) {
        return Collections.emptyList();
    }

    @Override
    public boolean exists(String key) {
        return false;
    }

    @Override
    public boolean acquireLock(String key) {
        return true;
    }

    @Override
    public boolean acquireLock(String key, long timeoutMs) {
        return true;
    }

    @Override
    public boolean releaseLock(String key) {
        return true;
    }

    @Override
    public void close() {
    }
}

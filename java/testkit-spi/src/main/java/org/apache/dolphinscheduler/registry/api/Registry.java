package org.apache.dolphinscheduler.registry.api;

import java.io.Closeable;
import java.time.Duration;
import java.util.Collection;

public interface Registry extends Closeable {
    void start();

    boolean isConnected();

    void connectUntilTimeout(Duration timeout) throws RegistryException;

    void subscribe(String path, SubscribeListener listener);

    void addConnectionStateListener(ConnectionListener listener);

    String get(String key) throws RegistryException;

    void put(String key, String value, boolean deleteOnDisconnect);

    void delete(String key);

    Collection<String> children(String key);

    boolean exists(String key);

    boolean acquireLock(String key);

    boolean acquireLock(String key, long timeout);

    boolean releaseLock(String key);
}

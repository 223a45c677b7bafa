package io.vivarium.plugin;

import java.time.Duration;
import java.util.Collection;
import java.util.function.Consumer;

/**
 * The contract that the registries of DolphinScheduler and StreamPark share, without the host's own types: what a
 * plugin hands its calls to. Whatever fails is the host's own exception.
 */
public interface RegistryBackend extends AutoCloseable {
    /** Connects. Nothing else but listeners of the connection may be added before. */
    void start();

    boolean isConnected();

    /** Waits until it is connected; for ever with a timeout of nothing or less. */
    void connectUntilTimeout(Duration timeout);

    void addConnectionStateListener(Consumer<State> listener);

    /** Tells of each change at and below a path. */
    void subscribe(String key, Consumer<Change> listener);

    void unsubscribe(String key);

    /** The value of an entry. */
    String get(String key);

    /** Sets the value of an entry, which is made if it is not there. */
    void put(String key, String value, boolean deleteOnDisconnect);

    /** Removes an entry; that there is none is no error. */
    void delete(String key);

    /** The names right below a key. */
    Collection<String> children(String key);

    boolean exists(String key);

    /** Waits until the calling thread holds the lock, however long that takes; true. */
    boolean acquireLock(String key);

    /** Waits so long at most; false if the lock was not to be had. */
    boolean acquireLock(String key, long timeoutMs);

    /** Gives back what the calling thread holds; false where another one holds it. */
    boolean releaseLock(String key);

    /** Ends the session, with all that is bound to it. Closing again does nothing. */
    @Override
    void close();
}

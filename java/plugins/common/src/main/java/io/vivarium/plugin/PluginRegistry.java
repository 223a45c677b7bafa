package io.vivarium.plugin;

import io.vivarium.client.Fence;
import io.vivarium.client.VivariumClient;
import io.vivarium.embedded.EmbeddedRegistryServer;
import java.time.Duration;
import java.util.Collection;

/**
 * What a host's registry on the native API does in words that the interfaces of all hosts have; those with types of the
 * host are left to each plugin.
 */
public abstract class PluginRegistry implements AutoCloseable {
    /** For what has types of the host. */
    protected final RegistryBackend registry;
    private final HostRegistry embedded;

    /**
     * @param old while the host moves here from another registry: that one, which is started and closed with this; null
     *     otherwise
     */
    protected PluginRegistry(
            EmbeddedRegistryProperties properties, RegistryBackend old, String defaultNamespace, HostRegistry.Failure failure) {
        this.embedded = new HostRegistry(properties, defaultNamespace, failure);
        this.registry = BridgedRegistry.of(embedded, old, properties, failure);
    }

    /** Connects, and starts the embedded server before that where there are no endpoints. */
    public void start() {
        registry.start();
    }

    public boolean isConnected() {
        return registry.isConnected();
    }

    /** Waits until it is connected; for ever with a timeout of nothing or less. */
    public void connectUntilTimeout(Duration timeout) {
        registry.connectUntilTimeout(timeout);
    }

    public String get(String key) {
        return registry.get(key);
    }

    public void put(String key, String value, boolean deleteOnDisconnect) {
        registry.put(key, value, deleteOnDisconnect);
    }

    public void delete(String key) {
        registry.delete(key);
    }

    public Collection<String> children(String key) {
        return registry.children(key);
    }

    public boolean exists(String key) {
        return registry.exists(key);
    }

    /** Waits until the calling thread holds the lock, however long that takes; true. */
    public boolean acquireLock(String key) {
        return registry.acquireLock(key);
    }

    /** Waits so many milliseconds at most; false if the lock was not to be had. */
    public boolean acquireLock(String key, long timeout) {
        return registry.acquireLock(key, timeout);
    }

    public boolean releaseLock(String key) {
        return registry.releaseLock(key);
    }

    @Override
    public void close() {
        registry.close();
    }

    /** The fence of a lock that the calling thread holds, for writes that must not outlive it. */
    public Fence fence(String key) {
        return embedded.fence(key);
    }

    /** The client below, for what the host's interface has no words for. */
    public VivariumClient client() {
        return embedded.client();
    }

    /** The path of a key in the ensemble, as {@link #client()} takes it. */
    public String path(String key) {
        return embedded.path(key);
    }

    /** {@code host:port} where the embedded server is found by other hosts of this machine; null where there are endpoints. */
    public String nativeAddress() {
        return embedded.server().map(EmbeddedRegistryServer::getNativeAddress).orElse(null);
    }
}

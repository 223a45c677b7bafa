package io.vivarium.streampark;

import io.vivarium.client.Fence;
import io.vivarium.client.VivariumClient;
import io.vivarium.embedded.EmbeddedRegistryServer;
import io.vivarium.plugin.Change;
import io.vivarium.plugin.EmbeddedRegistryProperties;
import io.vivarium.plugin.HostRegistry;
import java.time.Duration;
import java.util.Collection;
import org.apache.streampark.registry.api.ConnectionListener;
import org.apache.streampark.registry.api.ConnectionState;
import org.apache.streampark.registry.api.Event;
import org.apache.streampark.registry.api.Registry;
import org.apache.streampark.registry.api.RegistryException;
import org.apache.streampark.registry.api.SubscribeListener;

/** StreamPark's registry on the native API ({@code registry.type: embedded}). */
public final class EmbeddedRegistry implements Registry {
    /** Where the host's own ZooKeeper plugin has its keys, too. */
    public static final String NAMESPACE = "streampark";

    private final HostRegistry registry;

    /** Nothing is done before {@link #start}. */
    public EmbeddedRegistry(EmbeddedRegistryProperties properties) {
        this.registry = new HostRegistry(properties, NAMESPACE, RegistryException::new);
    }

    /** Connects, and starts the embedded server before that where there are no endpoints. */
    @Override
    public void start() {
        registry.start();
    }

    @Override
    public boolean isConnected() {
        return registry.isConnected();
    }

    @Override
    public void connectUntilTimeout(Duration timeout) throws RegistryException {
        registry.connectUntilTimeout(timeout);
    }

    /** Also tells of what is there already, as the host's ZooKeeper plugin does. */
    @Override
    public void subscribe(String path, SubscribeListener listener) {
        registry.subscribe(path, change -> listener.notify(event(change)));
    }

    @Override
    public void addConnectionStateListener(ConnectionListener listener) {
        registry.addConnectionStateListener(state -> listener.onUpdate(ConnectionState.valueOf(state.name())));
    }

    @Override
    public String get(String key) {
        return registry.get(key);
    }

    @Override
    public void put(String key, String value, boolean deleteOnDisconnect) {
        registry.put(key, value, deleteOnDisconnect);
    }

    @Override
    public void delete(String key) {
        registry.delete(key);
    }

    @Override
    public Collection<String> children(String key) {
        return registry.children(key);
    }

    @Override
    public boolean exists(String key) {
        return registry.exists(key);
    }

    @Override
    public boolean acquireLock(String key) {
        return registry.acquireLock(key);
    }

    @Override
    public boolean acquireLock(String key, long timeout) {
        return registry.acquireLock(key, timeout);
    }

    @Override
    public boolean releaseLock(String key) {
        return registry.releaseLock(key);
    }

    @Override
    public void close() {
        registry.close();
    }

    /** The fence of a lock that the calling thread holds, for writes that must not outlive it. */
    public Fence fence(String key) {
        return registry.fence(key);
    }

    /** The client below, for what the host's interface has no words for. */
    public VivariumClient client() {
        return registry.client();
    }

    /** The path of a key in the ensemble, as {@link #client()} takes it. */
    public String path(String key) {
        return registry.path(key);
    }

    /** {@code host:port} where the embedded server is found by other hosts of this machine; null where there are endpoints. */
    public String nativeAddress() {
        return registry.server().map(EmbeddedRegistryServer::getNativeAddress).orElse(null);
    }

    private static Event event(Change change) {
        return Event.builder()
            .key(change.key())
            .path(change.path())
            .data(change.data())
            .type(Event.Type.valueOf(change.type().name()))
            .build();
    }
}

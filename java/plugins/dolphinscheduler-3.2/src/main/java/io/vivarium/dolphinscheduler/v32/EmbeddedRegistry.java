package io.vivarium.dolphinscheduler.v32;

import io.vivarium.plugin.Change;
import io.vivarium.plugin.EmbeddedRegistryProperties;
import io.vivarium.plugin.PluginRegistry;
import io.vivarium.plugin.RegistryBackend;
import org.apache.dolphinscheduler.registry.api.ConnectionListener;
import org.apache.dolphinscheduler.registry.api.ConnectionState;
import org.apache.dolphinscheduler.registry.api.Event;
import org.apache.dolphinscheduler.registry.api.Registry;
import org.apache.dolphinscheduler.registry.api.RegistryException;
import org.apache.dolphinscheduler.registry.api.SubscribeListener;

/** DolphinScheduler 3.2 and 3.3's registry on the native API ({@code registry.type: embedded}). */
public final class EmbeddedRegistry extends PluginRegistry implements Registry {
    /** Where the host's own ZooKeeper plugin has its keys, too. */
    public static final String NAMESPACE = "dolphinscheduler";

    /** Nothing is done before {@link #start}. */
    public EmbeddedRegistry(EmbeddedRegistryProperties properties) {
        this(properties, null);
    }

    /** While the host moves here from another registry, with that one, which is started and closed with this. */
    EmbeddedRegistry(EmbeddedRegistryProperties properties, RegistryBackend old) {
        super(properties, old, NAMESPACE, RegistryException::new);
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

    private static Event event(Change change) {
        return Event.builder()
            .key(change.key())
            .path(change.path())
            .data(change.data())
            .type(Event.Type.valueOf(change.type().name()))
            .build();
    }
}

package io.vivarium.plugin;

import io.vivarium.client.RegistryEvent;
import io.vivarium.client.RegistryListener;
import io.vivarium.client.RegistrySubscription;
import io.vivarium.client.VivariumClient;
import io.vivarium.client.VivariumException;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One subscription of a host, in the host's words: keys without the namespace. */
final class Subscription implements AutoCloseable {
    private static final Logger LOGGER = LoggerFactory.getLogger(Subscription.class);

    private final RegistrySubscription subscription;

    Subscription(VivariumClient client, String root, String key, String path, Consumer<Change> listener) {
        subscription = client.registry().subscribe(path, new RegistryListener() {
            @Override
            public void changed(RegistryEvent event) {
                String below = event.path().substring(root.length());
                listener.accept(new Change(Change.Type.valueOf(event.type().name()), key,
                    below.isEmpty() ? "/" : below, event.text()));
            }

            @Override
            public void ended(VivariumException why) {
                if (why.kind() != VivariumException.Kind.CLOSED) {
                    LOGGER.error("nothing more is told of {}: {}; the host has to be restarted", key, why.getMessage());
                }
            }
        });
    }

    @Override
    public void close() {
        subscription.close();
    }
}

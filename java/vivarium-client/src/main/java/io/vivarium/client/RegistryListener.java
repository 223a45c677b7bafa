package io.vivarium.client;

/**
 * Is told what happens at and below a path: on a thread of its subscription, one call at a time. A listener that
 * is slow holds up nothing but its own subscription.
 */
@FunctionalInterface
public interface RegistryListener {
    /**
     * At first an ADD for each entry that is there, then each change once and in order. A listener that throws is
     * told the next event all the same.
     */
    void changed(RegistryEvent event);

    /** All entries that were there were told as ADD. Once for each subscription. */
    default void initialized() {}

    /**
     * Nothing is told any more, for another reason than {@link RegistrySubscription#close}: the client was closed,
     * or the copy would hold more than it may.
     */
    default void ended(VivariumException why) {}
}

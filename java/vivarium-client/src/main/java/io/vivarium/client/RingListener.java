package io.vivarium.client;

/** Is told how a ring changes: on a thread of its watch, one call at a time. */
@FunctionalInterface
public interface RingListener {
    /** The ring as it is, at first; then as it is after changes, of which several may come as one. */
    void changed(Ring ring);

    /** Nothing is told any more, for another reason than {@link RingWatch#close}. */
    default void ended(VivariumException why) {}
}

package io.vivarium.client;

/** What happened to an entry. */
public enum EventType {
    /** It is there: it was when the subscription began, or it was registered since. */
    ADD,
    /** It has another value, or belongs to another session: one that is taken over is updated. */
    UPDATE,
    /** It is gone; the event has the last value. */
    REMOVE
}

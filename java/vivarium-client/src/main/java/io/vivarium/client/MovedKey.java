package io.vivarium.client;

/** A key that has another owner by a later epoch. */
public final class MovedKey {
    private final io.vivarium.v1.MovedKey moved;

    MovedKey(io.vivarium.v1.MovedKey moved) {
        this.moved = moved;
    }

    public String key() {
        return moved.getKey();
    }

    /** Empty where the ring was empty. */
    public String from() {
        return moved.getFrom();
    }

    /** Empty where the ring is empty. */
    public String to() {
        return moved.getTo();
    }
}

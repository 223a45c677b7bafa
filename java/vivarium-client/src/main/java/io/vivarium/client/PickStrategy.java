package io.vivarium.client;

/** How one server is chosen for a piece of work. */
public enum PickStrategy {
    /** Weighted random. */
    RANDOM(io.vivarium.v1.PickStrategy.PICK_STRATEGY_RANDOM),
    /** Smooth weighted round robin. Each member counts its own picks. */
    SMOOTH_ROUND_ROBIN(io.vivarium.v1.PickStrategy.PICK_STRATEGY_SMOOTH_ROUND_ROBIN),
    /** The one with the least accumulated load, as DolphinScheduler's workers tell it. */
    LOWER_WEIGHT(io.vivarium.v1.PickStrategy.PICK_STRATEGY_LOWER_WEIGHT);

    final io.vivarium.v1.PickStrategy message;

    PickStrategy(io.vivarium.v1.PickStrategy message) {
        this.message = message;
    }
}

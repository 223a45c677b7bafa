package io.vivarium.testkit;

import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Waits for conditions. */
public final class Waiting {
    private static final long PATIENCE_NANOS = 30_000_000_000L;

    private Waiting() {
    }

    /** Fails with what was waited for, and with what there is. */
    public static void until(String what, Supplier<?> found, BooleanSupplier condition) {
        for (long begin = System.nanoTime(); !condition.getAsBoolean();) {
            if (System.nanoTime() - begin > PATIENCE_NANOS) {
                throw new AssertionError("not in time: " + what + "; there is " + found.get());
            }
            pause();
        }
    }

    public static void until(String what, BooleanSupplier condition) {
        until(what, () -> "nothing to tell", condition);
    }

    private static void pause() {
        try {
            Thread.sleep(10);
        } catch (InterruptedException asked) {
            throw new AssertionError(asked);
        }
    }
}

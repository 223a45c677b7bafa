package io.vivarium.testkit;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/** Waits for conditions. */
public final class Waiting {
    /** For a start, an election, a way back: an order of magnitude above what an idle machine takes. */
    public static final Duration PATIENCE = Duration.ofSeconds(60);

    /** Looks at least: a machine that stood still has used up none of the patience. */
    private static final int LOOKS_MIN = 1_000;

    private Waiting() {
    }

    /** Fails with what was waited for, and with what there is. */
    public static void until(String what, Supplier<?> found, BooleanSupplier condition) {
        long begin = System.nanoTime();
        for (int looks = 1; !condition.getAsBoolean(); looks++) {
            if (looks > LOOKS_MIN && System.nanoTime() - begin > PATIENCE.toNanos()) {
                throw new AssertionError("not in time: " + what + "; there is " + found.get());
            }
            pause();
        }
    }

    public static void until(String what, BooleanSupplier condition) {
        until(what, () -> "nothing to tell", condition);
    }

    /** Waits until a thread has ended. */
    public static void join(Thread thread) {
        until(thread + " has ended", () -> List.of(thread.getStackTrace()), () -> !thread.isAlive());
    }

    /** Whether somebody listens at {@code host:port}. */
    public static boolean answers(String address) {
        int colon = address.lastIndexOf(':');
        try (Socket socket = new Socket()) {
            int port = Integer.parseInt(address.substring(colon + 1));
            socket.connect(new InetSocketAddress(address.substring(0, colon), port), 5_000);
            return true;
        } catch (IOException refused) {
            return false;
        }
    }

    private static void pause() {
        try {
            Thread.sleep(10);
        } catch (InterruptedException asked) {
            throw new AssertionError(asked);
        }
    }
}

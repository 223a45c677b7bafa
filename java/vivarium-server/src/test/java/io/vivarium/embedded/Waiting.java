package io.vivarium.embedded;

import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.util.function.BooleanSupplier;

/** Waits for conditions. */
final class Waiting {
    private static final long PATIENCE_NANOS = 60_000_000_000L;

    private Waiting() {
    }

    static void until(String what, BooleanSupplier condition) {
        for (long begin = System.nanoTime(); !condition.getAsBoolean();) {
            if (System.nanoTime() - begin > PATIENCE_NANOS) {
                fail("not in time: " + what);
            }
            try {
                Thread.sleep(10);
            } catch (InterruptedException asked) {
                fail(asked);
            }
        }
    }

    static boolean answers(String address) {
        int colon = address.lastIndexOf(':');
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1))), 5_000);
            return true;
        } catch (IOException refused) {
            return false;
        }
    }
}

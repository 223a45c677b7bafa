package io.vivarium.client;

import java.time.Duration;

/** A process that holds a lock and says what becomes of it. Started by tests. */
public final class StoppedJvm {
    private StoppedJvm() {}

    public static void main(String[] arguments) throws InterruptedException {
        VivariumClient client = VivariumClient.builder()
                .endpoints(arguments[0])
                .sessionTimeout(Duration.ofSeconds(4))
                .connectionListener(state -> System.out.println("state " + state))
                .build();
        client.registry().register("/stopped", "");
        LockHandle lock = client.locks().acquire("/locks/stopped");
        VivariumClient fenced = client.fenced(lock.fence());
        System.out.println("holds " + lock.token());
        while (lock.isHeld()) {
            Thread.sleep(10);
        }
        System.out.println("not held, " + client.state());
        lock.awaitLost(Duration.ofSeconds(60));
        System.out.println("lost");
        try {
            fenced.withRequestTimeout(Duration.ofSeconds(60)).registry().put("/report", "stale");
            System.out.println("written");
        } catch (VivariumException refused) {
            System.out.println("refused " + refused.reasonName());
        }
        client.close();
        System.out.println("closed");
    }
}

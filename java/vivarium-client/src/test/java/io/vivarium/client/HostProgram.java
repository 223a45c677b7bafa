package io.vivarium.client;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** A host that has other versions of what the client needs. Started by tests, with the packaged client. */
public final class HostProgram {
    private HostProgram() {}

    private static void where(String name) throws ClassNotFoundException {
        Class<?> found = Class.forName(name, false, HostProgram.class.getClassLoader());
        System.out.println(name + " is in " + found.getProtectionDomain().getCodeSource().getLocation().getPath());
    }

    public static void main(String[] arguments) throws Exception {
        where("com.google.common.collect.ImmutableList");
        where("com.google.protobuf.Message");
        where("io.grpc.Metadata");
        where("io.vivarium.shaded.io.grpc.Metadata");
        where("io.vivarium.client.VivariumClient");
        List<ConnectionState> states = new CopyOnWriteArrayList<>();
        try (VivariumClient client = VivariumClient.builder()
                .endpoints("localhost:" + arguments[0])
                .connectionListener(states::add)
                .build()) {
            client.registry().register("/host/a", NodeInfo.builder().port(7).build());
            RegistrySubscription copy = client.registry().cache("/host");
            System.out.println("copy " + copy.children("/host") + " port " + client.registry().get("/host/a").node().port());
            try (LockHandle lock = client.locks().acquire("/locks/host")) {
                System.out.println("held " + lock.isHeld());
            }
            client.tasks().enqueue("/tasks", Task.of("1").build());
            client.tasks().fetch(Fetching.from("/tasks").waiting(java.time.Duration.ofSeconds(30))).get(0).complete();
            System.out.println("ring " + client.rings().describe("/host", RingMode.EQUAL).owner("1"));
            try {
                client.registry().get("/none");
            } catch (VivariumException refused) {
                System.out.println("refused " + refused.reason());
            }
        }
        System.out.println("states " + states);
        for (Thread thread : Thread.getAllStackTraces().keySet()) {
            if (thread.getName().startsWith("vivarium-")) {
                System.out.println("left " + thread.getName());
            }
        }
        System.out.println("done");
    }
}

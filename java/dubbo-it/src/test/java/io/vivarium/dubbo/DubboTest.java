package io.vivarium.dubbo;

import static org.junit.jupiter.api.Assertions.assertNotEquals;

import io.vivarium.client.Entry;
import io.vivarium.client.VivariumClient;
import io.vivarium.testkit.Child;
import io.vivarium.testkit.Ensemble;
import io.vivarium.testkit.Waiting;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.dubbo.config.ReferenceConfig;
import org.junit.jupiter.api.Test;

/** What Dubbo's users rely on their registry for. */
class DubboTest {
    private static final String PROVIDERS = "/dubbo/" + Orders.class.getName() + "/providers";
    /** More than enough for Dubbo's random choice to come to each of two. */
    private static final int CALLS = 40;

    private static Child provider(Ensemble ensemble, String name) {
        return Child.start(Provider.class, ensemble.connectString(), name, "" + Ensemble.freePort());
    }

    /** Who answers. Not one call may fail. */
    private static Set<String> answering(Orders orders) {
        Set<String> answering = new TreeSet<>();
        for (int call = 0; call < CALLS; call++) {
            answering.add(orders.place("" + call));
        }
        return answering;
    }

    private static void awaitAnswering(Orders orders, String... names) {
        Waiting.until(List.of(names) + " answer", () -> answering(orders), () -> answering(orders).equals(Set.of(names)));
    }

    private static void awaitRegistered(VivariumClient witness, int number) {
        Waiting.until(number + " are registered", () -> witness.linearizable().registry().children(PROVIDERS),
            () -> witness.linearizable().registry().children(PROVIDERS).size() == number);
    }

    @Test
    void callersFindWhoeverIsThereWhenAProviderOrAMemberIsKilled() {
        ReferenceConfig<Orders> reference = new ReferenceConfig<>();
        try (Ensemble ensemble = new Ensemble(3);
            VivariumClient witness = VivariumClient.builder().endpoints(ensemble.endpoints()).build();
            Child first = provider(ensemble, "first");
            Child second = provider(ensemble, "second")) {
            first.await("offers");
            second.await("offers");
            // Each is an entry that ends with its session, for everybody to see.
            awaitRegistered(witness, 2);
            for (Entry provider : witness.registry().list(PROVIDERS, 1)) {
                assertNotEquals(0, provider.sessionId(), provider.path());
            }
            try (Host shop = Host.calling(ensemble.connectString(), reference)) {
                Orders orders = reference.get();
                awaitAnswering(orders, "first", "second");
                first.close();
                awaitAnswering(orders, "second");
                awaitRegistered(witness, 1);

                ensemble.member(1).kill();
                awaitAnswering(orders, "second");
                try (Child third = provider(ensemble, "third")) {
                    third.await("offers");
                    awaitAnswering(orders, "second", "third");
                    second.close();
                    awaitAnswering(orders, "third");
                    awaitRegistered(witness, 1);
                }
            }
        }
    }
}

package io.vivarium.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vivarium.testkit.Child;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class StoppedJvmTest {
    /** A pause of the whole process, as by a debugger or a machine that is moved. */
    @Test
    void aProcessThatWasStoppedKnowsThatItsSessionIsLost() throws Exception {
        try (Members members = Members.start(1);
                VivariumClient client = members.client().requestTimeout(Members.PATIENCE).build();
                Child child = Child.start(StoppedJvm.class, members.member(1).endpoint())) {
            child.await("holds ");
            child.signal("STOP");
            LockHandle next = client.locks().acquire("/locks/stopped");
            assertFalse(client.linearizable().registry().exists("/stopped"));
            assertTrue(child.lines().stream().noneMatch(line -> line.startsWith("not held")));
            child.signal("CONT");
            child.await("closed");
            List<String> said = child.lines();
            // It never took itself for the holder, and what it wrote as such was refused.
            assertTrue(said.contains("not held, SUSPENDED") || said.contains("not held, LOST"), said.toString());
            assertTrue(said.contains("refused STALE_FENCING_TOKEN"), said.toString());
            assertTrue(next.isHeld());
            List<String> states = said.stream().filter(line -> line.startsWith("state ")).collect(Collectors.toList());
            assertEquals("state CONNECTED", states.get(0));
            assertTrue(states.contains("state LOST"), states.toString());
            assertFalse(states.contains("state RECONNECTED"), states.toString());
            assertFalse(client.registry().exists("/report"));
        }
    }
}

package io.vivarium.embedded;

import static io.vivarium.testkit.Waiting.answers;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.RegisterExtension;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EmbeddedRegistryExtensionTest {
    @RegisterExtension
    static final EmbeddedRegistryExtension SHARED = new EmbeddedRegistryExtension();

    private EmbeddedRegistryServer before;

    private void isTheSame(EmbeddedRegistryServer server) {
        assertSame(before == null ? server : before, server);
        before = server;
        assertTrue(answers(server.getConnectString()));
    }

    @Test
    void theTestsOfAClassShareOne() {
        isTheSame(SHARED.getServer());
    }

    @Test
    void andGoOnSharingIt() {
        isTheSame(SHARED.getServer());
    }

    @Nested
    class Inside {
        @Test
        void nestedClassesShareItToo() {
            assertTrue(answers(SHARED.getServer().getNativeAddress()));
        }
    }
}

class EmbeddedRegistryExtensionOfEachTest {
    private static String before;

    @RegisterExtension
    final EmbeddedRegistryExtension own = new EmbeddedRegistryExtension();

    private void isAnother() {
        String directory = own.getServer().getDataDirectory().toString();
        assertTrue(answers(own.getServer().getConnectString()));
        assertNotEquals(before, directory);
        before = directory;
    }

    @Test
    void eachTestHasItsOwn() {
        isAnother();
    }

    @Test
    void alsoTheSecond() {
        isAnother();
    }
}

@ExtendWith(EmbeddedRegistryExtension.class)
class EmbeddedRegistryExtensionParameterTest {
    @Test
    void aTestMayTakeItAsAParameter(EmbeddedRegistryServer server) {
        assertTrue(answers(server.getConnectString()));
    }
}

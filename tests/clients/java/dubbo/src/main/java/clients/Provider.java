package clients;

import java.util.Map;
import org.apache.dubbo.common.URL;
import org.apache.dubbo.registry.Registry;

/** Offers the service until it is told to finish. */
public final class Provider {
    /** So short that a stopped process loses it soon. */
    static final int SESSION_MS = 4_000;

    private Provider() {}

    public static void main(String[] arguments) throws Exception {
        DubboProgram program = new DubboProgram(arguments, SESSION_MS);
        Registry registry = program.registry(0);
        URL url = DubboProgram.provider(20880);
        registry.register(url);
        program.ready();
        while (!program.finishing()) {
            program.pause(1_000);
        }
        registry.unregister(url);
        program.verdict(Map.of());
    }
}

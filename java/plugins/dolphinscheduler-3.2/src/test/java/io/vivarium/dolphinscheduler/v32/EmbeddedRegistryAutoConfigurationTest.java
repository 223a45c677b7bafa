package io.vivarium.dolphinscheduler.v32;

import io.vivarium.plugin.AutoConfigurationContract;

class EmbeddedRegistryAutoConfigurationTest extends AutoConfigurationContract {
    EmbeddedRegistryAutoConfigurationTest() {
        super(Tested.PLUGIN);
    }
}

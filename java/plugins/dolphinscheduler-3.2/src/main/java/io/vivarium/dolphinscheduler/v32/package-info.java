/** The registry plugin of DolphinScheduler 3.2 and 3.3. */
package io.vivarium.dolphinscheduler.v32;

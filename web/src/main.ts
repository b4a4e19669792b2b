import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { clock } from "./lib/clock.svelte";
import { live } from "./lib/live.svelte";
import { router } from "./lib/router.svelte";
import { theme } from "./lib/theme.svelte";

theme.start();
clock.start();
router.start();
live.start();

const target = document.getElementById("app");
if (target) mount(App, { target });

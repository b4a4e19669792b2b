import { mount } from "svelte";
import "../app.css";
import { clock } from "../lib/clock.svelte";
import { theme } from "../lib/theme.svelte";
import App from "./App.svelte";
import { run } from "./run.svelte";

theme.start();
clock.start();
run.start();

const target = document.getElementById("app");
if (target) mount(App, { target });

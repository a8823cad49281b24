"use strict";
(() => {
  const ZOOMS = [1, 2, 5, 10, 20, 50, 100];
  const TICK_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const TICK_PIXELS = 70;
  let playing = null; // one recording is heard at a time

  const clock = (seconds) => {
    const whole = Math.floor(seconds + 1e-6);
    const two = (number) => String(number).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60;
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  };

  class Talk {
    constructor(section) {
      const find = (name) => section.querySelector(name);
      const data = JSON.parse(find(".data").textContent);
      this.seconds = data.seconds;
      this.position = 0;
      this.current = 0;
      this.isPlaying = false;
      this.button = find(".play");
      this.slider = find(".position");
      this.clock = find(".clock");
      this.status = find(".status");
      this.timeline = find(".timeline");
      this.wide = find(".wide");
      this.cursor = find(".cursor");
      this.axis = find(".axis");
      this.tracks = [...section.querySelectorAll(".track")].map((element, number) => {
        const track = { ...data.tracks[number], element, audio: element.querySelector("audio") };
        track.choose = element.querySelector(".choose");
        return track;
      });
      this.tracks.forEach((track, number) => this.prepare(track, number));
      this.markDoubts(find(".doubts"), data.uncertain);
      this.addZoom(find(".zoom"));
      this.button.addEventListener("click", () => (this.isPlaying ? this.pause() : this.play()));
      this.slider.addEventListener("input", () => this.seek(Number(this.slider.value)));
      new ResizeObserver(() => this.drawAxis()).observe(this.wide);
      find(".doubts").hidden = !data.uncertain.length;
      find(".controls").hidden = false;
      this.select(0);
      this.show();
    }

    // what a row does when it is clicked, and its turns
    prepare(track, number) {
      track.choose.addEventListener("click", () => this.select(number));
      const view = track.element.querySelector(".view");
      view.addEventListener("click", (event) => {
        const box = view.getBoundingClientRect();
        this.hear(number, ((event.clientX - box.left) / box.width) * this.seconds);
      });
      if (track.heard < this.seconds - 0.5) {
        const mute = this.mark("div", "mute", track.heard, this.seconds);
        mute.title = "no sound in this page: open the file";
        view.append(mute);
      }
      if (track.audio) {
        track.audio.addEventListener("ended", () => track === this.track && this.pause());
        track.audio.addEventListener("error", () => this.say("this browser cannot play the sound; open the file"));
      }
      this.addButtons(track.element.querySelector(".turns"), track.turns, ([start, stop]) => ({
        label: `${track.name}, ${clock(start)} to ${clock(stop)}`,
        act: () => this.hear(number, start),
      }));
    }

    get track() {
      return this.tracks[this.current];
    }

    mark(kind, name, start, stop) {
      const element = document.createElement(kind);
      element.className = name;
      element.style.left = `${(100 * start) / this.seconds}%`;
      element.style.width = `${(100 * (stop - start)) / this.seconds}%`;
      return element;
    }

    // one of the buttons is reached by Tab, the others from it by arrows
    addButtons(group, spans, describe) {
      const buttons = spans.map((span, number) => {
        const { label, act, text } = describe(span);
        const button = this.mark("button", "", span[0], span[1]);
        button.type = "button";
        button.title = label;
        button.setAttribute("aria-label", label);
        button.tabIndex = number ? -1 : 0;
        if (text) {
          button.textContent = text;
          button.style.width = "";
          button.style.left = `${(50 * (span[0] + span[1])) / this.seconds}%`;
        }
        button.addEventListener("click", act);
        return button;
      });
      group.append(...buttons);
      group.addEventListener("keydown", (event) => {
        const now = buttons.indexOf(document.activeElement);
        const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: buttons.length - 1 }[event.key];
        if (now < 0 || !buttons[next]) return;
        event.preventDefault();
        buttons[now].tabIndex = -1;
        buttons[next].tabIndex = 0;
        buttons[next].focus();
      });
    }

    markDoubts(group, uncertain) {
      this.addButtons(group, uncertain, ([start, stop, margin]) => ({
        label: `not sure who is who, ${clock(start)} to ${clock(stop)}, margin ${margin}`,
        act: () => this.hear(this.current, start),
        text: "?",
      }));
      this.wide.append(...uncertain.map(([start, stop]) => this.mark("div", "doubt", start, stop)));
    }

    addZoom(select) {
      for (const zoom of ZOOMS) select.append(new Option(`${zoom} ×`, zoom));
      select.addEventListener("change", () => {
        this.wide.style.width = `${100 * Number(select.value)}%`;
        this.drawAxis();
        this.reveal(true);
      });
    }

    drawAxis() {
      const pixels = this.wide.clientWidth / this.seconds;
      const step = TICK_SECONDS.find((seconds) => seconds * pixels >= TICK_PIXELS) ?? TICK_SECONDS.at(-1);
      const ticks = [];
      for (let time = 0; time < this.seconds; time += step) {
        const tick = document.createElement("span");
        tick.textContent = clock(time);
        tick.style.left = `${(100 * time) / this.seconds}%`;
        ticks.push(tick);
      }
      this.axis.replaceChildren(...ticks);
    }

    say(text) {
      this.status.textContent = text;
    }

    select(number) {
      const before = this.track;
      this.current = number;
      for (const track of this.tracks) track.choose.setAttribute("aria-pressed", String(track === this.track));
      if (!this.isPlaying || before === this.track) return;
      before.audio?.pause();
      this.play();
    }

    hear(number, seconds) {
      this.select(number);
      this.seek(seconds);
      this.play();
    }

    seek(seconds) {
      this.position = Math.min(Math.max(seconds, 0), this.seconds);
      this.align(this.track);
      this.show();
    }

    // before a sound is loaded, this is where it will start
    align({ audio }) {
      if (audio && Math.abs(audio.currentTime - this.position) > 0.02) audio.currentTime = this.position;
    }

    play() {
      const { audio, heard, name } = this.track;
      if (!audio || this.position >= heard) {
        const ends = audio && this.position >= this.seconds - 0.1;
        if (!ends) {
          this.pause();
          this.say(`no sound of ${name} in this page at ${clock(this.position)}: open the file`);
          return;
        }
        this.position = 0;
      }
      if (playing && playing !== this) playing.pause();
      playing = this;
      this.isPlaying = true;
      this.button.textContent = "Pause";
      this.say(`playing ${name}`);
      this.align(this.track);
      audio.play().catch((error) => {
        if (error.name === "AbortError") return; // another place or speaker was chosen meanwhile
        this.pause();
        this.say(`cannot play: ${error.message}`);
      });
      this.follow();
    }

    pause() {
      this.isPlaying = false;
      this.button.textContent = "Play";
      this.say("");
      this.track.audio?.pause();
    }

    follow() {
      cancelAnimationFrame(this.frame);
      if (!this.isPlaying) return;
      const { audio } = this.track;
      if (!audio.seeking) this.position = audio.currentTime;
      this.show();
      this.reveal(false);
      this.frame = requestAnimationFrame(() => this.follow());
    }

    show() {
      this.cursor.style.left = `${(100 * this.position) / this.seconds}%`;
      this.slider.value = this.position;
      const text = `${clock(this.position)} / ${clock(this.seconds)}`;
      if (this.clock.textContent === text) return;
      this.clock.textContent = text;
      this.slider.setAttribute("aria-valuetext", `${clock(this.position)} of ${clock(this.seconds)}`);
    }

    // scrolls to the cursor when it has left what is seen
    reveal(always) {
      const place = (this.position / this.seconds) * this.wide.clientWidth;
      const { scrollLeft, clientWidth } = this.timeline;
      const isSeen = place >= scrollLeft && place <= scrollLeft + clientWidth;
      if (always) this.timeline.scrollLeft = place - clientWidth / 2;
      else if (!isSeen) this.timeline.scrollLeft = place - clientWidth / 10;
    }
  }

  const sections = [...document.querySelectorAll(".talk")];
  for (const section of sections) new Talk(section);
  if (sections.length > 1) {
    const nav = document.querySelector("nav");
    for (const section of sections) {
      const link = document.createElement("a");
      link.href = `#${section.id}`;
      link.textContent = section.querySelector("h2").textContent;
      const item = document.createElement("li");
      item.append(link);
      nav.firstElementChild.append(item);
    }
    nav.hidden = false;
  }
})();

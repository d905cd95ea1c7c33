// Before the first frame only the theme is set; the script of the page comes after that frame, which is shown the sooner.

document.documentElement.className = localStorage.getItem("theme") ?? "";
requestAnimationFrame(() => setTimeout(() => import("./page.js")));

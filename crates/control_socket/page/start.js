// Sets the theme before the first frame, and loads the page's script after it: the frame is then shown earlier.

document.documentElement.className = localStorage.getItem("theme") ?? "";
requestAnimationFrame(() => setTimeout(() => import("./page.js")));

/* Runs before the first paint, so that the chosen theme never flashes. app.js offers the choice. */
'use strict';
document.documentElement.classList.remove('no-js');
{
  const theme = localStorage.getItem('npvirt-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
}

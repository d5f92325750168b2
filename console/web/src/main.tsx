import { render } from 'preact'

import { App } from './app.tsx'
import { watchRoute } from './route.ts'
import { showTheme } from './session.ts'
import './style.css'

showTheme()
watchRoute()
render(<App />, document.getElementById('app')!)

"""Atari's games, with the usual preprocessing of their frames (Mnih et al. 2015, methods)."""

from typing import Any

from lth_ray.tasks.control.packages import needed

IDLE, SKIPPED, SIDE, STACKED = 30, 4, 84, 4


def make(name: str, **options: Any) -> Any:
    """Return a game whose observations are the last four of every fourth frame, grey, uint8 [4, 84, 84].

    Sticky actions are off unless `options` say otherwise. Rewards are the game's own.
    """
    ale, gymnasium = needed("ale_py", "atari"), needed("gymnasium", "rl")
    needed("cv2", "atari")  # with which frames are made smaller
    ale.ALEInterface.setLoggerMode(ale.LoggerMode.Error)
    gymnasium.register_envs(ale)
    given = {"repeat_action_probability": 0.0, **options}
    game = gymnasium.make(name, frameskip=1, disable_env_checker=True, **given)
    frames = gymnasium.wrappers.AtariPreprocessing(game, noop_max=IDLE, frame_skip=SKIPPED, screen_size=SIDE)
    return gymnasium.wrappers.FrameStackObservation(_starting(gymnasium)(frames), STACKED)


def _starting(gymnasium: Any) -> type:
    class Starting(gymnasium.Wrapper):
        """A game that waits for its button at the start and after each life has it pressed."""

        def __init__(self, env: Any) -> None:
            super().__init__(env)
            meanings = env.unwrapped.get_action_meanings()
            self.button = meanings.index("FIRE") if "FIRE" in meanings[:2] else None
            self.lives = 0

        def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
            observation, info = self.env.reset(**given)
            if self.button is not None:
                observation, _, ended, cut, info = self.env.step(self.button)
                if ended or cut:
                    observation, info = self.env.reset()
            self.lives = info.get("lives", 0)
            return observation, info

        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
            observation, reward, ended, cut, info = self.env.step(action)
            lost, self.lives = info.get("lives", 0) < self.lives, info.get("lives", 0)
            if lost and self.button is not None and not (ended or cut):
                observation, more, ended, cut, info = self.env.step(self.button)
                reward = float(reward) + float(more)
            return observation, reward, ended, cut, info

    return Starting

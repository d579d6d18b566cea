"""What the models that `relevance run` makes are called: folders of W/models, and of each fold's."""

TEACHER_MODEL, STUDENT_MODEL, HUMAN_STUDENT = "teacher", "student", "student_human"
